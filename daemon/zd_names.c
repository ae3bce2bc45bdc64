/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a list of names. */
#include "zd_names.h"

#include <stdlib.h>
#include <string.h>

/* Its place, or a free one for NULL; NULL: there is none. */
static char **place_of(zd_names_t *names, const char *name)
{
    for (unsigned i = 0; i < ZD_NAMES_MAX; i++) {
        char *lost = names->lost[i];
        if (name && lost ? strcmp(lost, name) == 0 : !name && !lost) {
            return &names->lost[i];
        }
    }
    return NULL;
}

bool zd_names_changed(zd_names_t *names, const char *name, bool found)
{
    char **place = place_of(names, name);
    if (found == !place) {
        return false;
    }
    if (found) {
        free(*place);
        *place = NULL;
        return true;
    }
    place = place_of(names, NULL);
    if (place) {
        *place = strdup(name);
    }
    return place && *place;
}

void zd_names_clear(zd_names_t *names)
{
    for (unsigned i = 0; i < ZD_NAMES_MAX; i++) {
        free(names->lost[i]);
        names->lost[i] = NULL;
    }
}
