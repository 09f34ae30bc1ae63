/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/start-code.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* Only what may be executed and never written: there the file has all that the pages have. In others the
 * dynamic linker's relocations would be lost. */
static int release_object(struct dl_phdr_info *info, size_t size, void *userdata) {
        const uintptr_t page = *(const uintptr_t *) userdata;

        for (unsigned i = 0; i < info->dlpi_phnum; i++) {
                const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
                const uintptr_t begin = info->dlpi_addr + segment->p_vaddr;

                if (segment->p_type == PT_LOAD && (segment->p_flags & (PF_X | PF_W)) == PF_X)
                        (void) madvise((void *) (begin & ~(page - 1)),
                                       segment->p_memsz + (begin & (page - 1)), MADV_DONTNEED);
        }
        return 0;
}

void start_code_release(void) {
        uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

        (void) dl_iterate_phdr(release_object, &page);
}
