/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs a fuzz target over every file of the directories and files given: the corpus as a regression test, with any
 * compiler and any sanitizer. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path) {
        FILE *f = fopen(path, "re");
        struct stat st;
        uint8_t *data;
        size_t n;

        if (!f || fstat(fileno(f), &st) < 0) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                return -1;
        }
        /* Exactly as large as the input, so that a sanitizer sees a read behind its end. */
        data = malloc(st.st_size > 0 ? (size_t) st.st_size : 1);
        if (!data)
                abort();
        n = fread(data, 1, (size_t) st.st_size, f);
        (void) fclose(f);
        (void) LLVMFuzzerTestOneInput(data, n);
        free(data);
        return 1;
}

static int replay(const char *path) {
        struct dirent *entry;
        int count = 0;
        DIR *d = opendir(path);

        if (!d)
                return replay_file(path);
        while ((entry = readdir(d))) {
                char *child = NULL;
                int r;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&child, "%s/%s", path, entry->d_name) < 0)
                        abort();
                r = replay_file(child);
                free(child);
                if (r < 0)
                        count = -1;
                if (count >= 0)
                        count += r;
        }
        (void) closedir(d);
        return count;
}

int main(int argc, char **argv) {
        int total = 0;

        for (int i = 1; i < argc; i++) {
                int r = replay(argv[i]);

                if (r < 0)
                        return EXIT_FAILURE;
                total += r;
        }
        printf("%d inputs replayed\n", total);
        return total > 0 ? EXIT_SUCCESS : EXIT_FAILURE; /* an empty corpus tests nothing */
}
