/* SPDX-License-Identifier: Apache-2.0 */
#include "collector/nap.h"

#define SHORTER_RECORDS 8 /* a look is to find from LONGER_RECORDS to so many */
#define LONGER_RECORDS  4

uint64_t nap_next_ns(uint64_t ns, unsigned records)
{
    uint64_t most = records ? NAP_FEW_NS : NAP_MAX_NS;

    if (records >= NAP_MANY_RECORDS)
        return NAP_MIN_NS;
    if (records >= SHORTER_RECORDS)
        ns /= 2;
    else if (records < LONGER_RECORDS)
        ns *= 2;
    return ns < NAP_MIN_NS ? NAP_MIN_NS : ns > most ? most : ns;
}
