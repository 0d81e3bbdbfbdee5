/* SPDX-License-Identifier: Apache-2.0 */
#include "enricher/source.h"
#include <errno.h>
#include <string.h>

static const struct {
    enum pod_source kind;
    const char *default_where; /* NULL: must be given */
} kinds[] = {
    {POD_SOURCE_FILE, NULL},
    {POD_SOURCE_LOGDIR, "/var/log"},
    {POD_SOURCE_KUBELET, NULL},
    {POD_SOURCE_APISERVER, NULL},
};

int source_parse(const char *spec, enum pod_source *ret_kind, const char **ret_where)
{
    size_t size = strcspn(spec, ":");
    const char *where = spec[size] == ':' && spec[size + 1] ? spec + size + 1 : NULL;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const char *name = pod_source_name(kinds[i].kind);

        if (strlen(name) != size || strncmp(spec, name, size) != 0)
            continue;
        if (!where)
            where = kinds[i].default_where;
        if (!where)
            return -EINVAL;
        *ret_kind = kinds[i].kind;
        *ret_where = where;
        return 0;
    }
    return -EINVAL;
}
