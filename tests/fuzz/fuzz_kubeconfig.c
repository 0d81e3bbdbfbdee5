/* SPDX-License-Identifier: Apache-2.0 */
/* A kubeconfig: whatever it holds, it is taken whole or refused with one printable line. */
#include "enricher/kubeconfig.h"

#include <string.h>
#include "tests/fuzz/fuzz.h"

static void check_line(const char *error)
{
    FUZZ_CHECK(strlen(error) > 0 && strlen(error) < KUBECONFIG_ERROR_MAX);
    FUZZ_CHECK(strncmp(error, "/f/conf:", 8) == 0);
    for (; *error; error++)
        FUZZ_CHECK(*error >= ' ' && *error <= '~');
}

static void check_string(const char *string)
{
    for (; string && *string; string++)
        FUZZ_CHECK((unsigned char)*string >= ' ' && *string != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[KUBECONFIG_ERROR_MAX] = "";
    struct kubeconfig config;

    if (kubeconfig_parse(&config, "/f/conf", (const char *)data, size, error) < 0) {
        check_line(error);
        FUZZ_CHECK(!config.server && !config.token && !config.client_key_data.data);
        return 0;
    }
    FUZZ_CHECK(config.server);
    FUZZ_CHECK(!(config.client_cert || config.client_cert_data.data) ==
               !(config.client_key || config.client_key_data.data));
    FUZZ_CHECK(!config.ca_file || config.ca_file[0] == '/');
    FUZZ_CHECK(!config.token_file || config.token_file[0] == '/');
    check_string(config.server);
    check_string(config.token);
    kubeconfig_deinit(&config);
    return 0;
}
