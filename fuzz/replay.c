/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns running a fuzz target over its corpus without a fuzzer: every file as it is, cut off at
 * every length, and with every single bit flipped. FUZZ_CORPUS names the corpus folder.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FILE_MAX_BYTES = 1 << 20,
    MUTATE_MAX_BYTES = 4096, /* a longer file is run as it is: its mutations would take minutes */
};

/* A copy of exactly the size, so that a sanitizer sees a read beyond it. */
static void run(const uint8_t *bytes, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    if (!copy) {
        abort();
    }
    memcpy(copy, bytes, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static void mutate(uint8_t *bytes, size_t n)
{
    for (size_t cut = 0; cut < n; cut++) {
        run(bytes, cut);
    }
    for (size_t bit = 0; bit < 8 * n; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        run(bytes, n);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static int replay(const char *path)
{
    static uint8_t bytes[FILE_MAX_BYTES];
    FILE *in = fopen(path, "rb");
    if (!in) {
        return 0;
    }
    size_t n = fread(bytes, 1, sizeof(bytes), in);
    fclose(in);
    run(bytes, n);
    if (n <= MUTATE_MAX_BYTES) {
        mutate(bytes, n);
    }
    return 1;
}

int main(void)
{
    const char *top = getenv("top_srcdir");
    char path[4096];
    char folder[2048];
    int files = 0;
    snprintf(folder, sizeof(folder), "%s/fuzz/corpus/" FUZZ_CORPUS, top ? top : ".");
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
            files += replay(path);
        }
    }
    if (dir) {
        closedir(dir);
    }
    printf("%s: %d files\n", folder, files);
    return files > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
