/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds hooks. A hook in /etc hides one of the same name in /usr/lib; an empty file, or a link to /dev/null,
 * hides it and is none itself. What is found is judged, but never left out for being suspect: who put a hook
 * there wants to be asked, so a hook that cannot be trusted is for its user to refuse. */
#include "request/hook-list.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/cleanup.h"

DEFINE_CLEANUP(DIR *, closedir)

/* In order of precedence. */
static const char *const folders[] = { "etc/memunplug/hooks.d", "usr/lib/memunplug/hooks.d" };
#define N_FOLDERS (sizeof(folders) / sizeof(folders[0]))

void hook_list_clear(HookList *list) {
        for (size_t i = 0; i < list->n; i++)
                free(list->hooks[i].fault);
        free(list->hooks);
        *list = (HookList) {};
}

const char *hook_name(const Hook *hook) {
        return strrchr(hook->path, '/') + 1; /* it is below one of the folders */
}

/* Names that package managers and editors give to what they put aside are no hooks. */
static bool is_hook_name(const char *name) {
        static const char *const endings[] = { ".bak", ".swp", ".rpmnew", ".rpmorig", ".rpmsave" };
        size_t n = strlen(name);

        if (!isalnum((unsigned char) name[0]) || strstr(name, ".dpkg-"))
                return false;
        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char) name[i]) && !strchr("._-", name[i]))
                        return false;
        for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
                size_t m = strlen(endings[i]);

                if (n > m && strcmp(name + n - m, endings[i]) == 0)
                        return false;
        }
        return true;
}

static int set_fault(char **fault, const char *path, const char *what) {
        if (*fault)
                return 0; /* one is enough */
        return asprintf(fault, "/%s %s", path, what) < 0 ? -ENOMEM : 0;
}

static int judge(const struct stat *st, const char *path, uid_t owner, char **fault) {
        if (S_ISLNK(st->st_mode))
                return set_fault(fault, path, "is a symbolic link");
        if (st->st_uid != owner)
                return set_fault(fault, path, owner == 0 ? "is not root's" : "is somebody else's");
        if (st->st_mode & (S_IWGRP | S_IWOTH))
                return set_fault(fault, path, "can be written by others");
        return 0;
}

/* Opens a folder, and looks at each one on the way to it: who can write to one of them decides what is
 * below. 0 with *ret_fd -1: it is not there. */
static int open_folder(int root_fd, const char *folder, uid_t owner, int *ret_fd, char **fault) {
        CLEANUP(closep) int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *end = folder;
        struct stat st;
        int r;

        *ret_fd = -1;
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        r = judge(&st, "", owner, fault);
        for (const char *p = folder; r >= 0 && *p; p = *end ? end + 1 : end) {
                char name[64], path[128];
                int next;

                end = strchrnul(p, '/');
                (void) snprintf(name, sizeof(name), "%.*s", (int) (end - p), p);
                (void) snprintf(path, sizeof(path), "%.*s", (int) (end - folder), folder);
                if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        return errno == ENOENT ? 0 : -errno;
                r = judge(&st, path, owner, fault);
                next = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (next < 0)
                        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
                (void) close_fd(fd);
                fd = next;
        }
        if (r >= 0)
                *ret_fd = steal_fd(&fd);
        return r;
}

static bool is_known(const HookList *list, const char *name) {
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(hook_name(&list->hooks[i]), name) == 0)
                        return true;
        return false;
}

static int add_hook(HookList *list, const char *folder, const char *name, bool is_mask, char **fault) {
        Hook *hook;

        if (list->n >= 2 * HOOKS_MAX)
                return -E2BIG;
        hook = &list->hooks[list->n++];
        (void) snprintf(hook->path, sizeof(hook->path), "%s/%s", folder, name);
        hook->is_mask = is_mask;
        hook->fault = STEAL_PTR(*fault);
        return 0;
}

static int look_at(HookList *list, int fd, const char *folder, const char *name, uid_t owner,
                   const char *folder_fault) {
        CLEANUP(freep) char *fault = folder_fault ? strdup(folder_fault) : NULL;
        char path[HOOK_PATH_MAX];
        struct stat st, target;
        bool is_mask;

        if (folder_fault && !fault)
                return -ENOMEM;
        if (!is_hook_name(name) || is_known(list, name))
                return 0;
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (S_ISLNK(st.st_mode))
                is_mask = fstatat(fd, name, &target, 0) >= 0 && S_ISCHR(target.st_mode);
        else if (S_ISREG(st.st_mode))
                is_mask = st.st_size == 0 || !(st.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH));
        else
                return 0;
        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (!is_mask && judge(&st, path, owner, &fault) < 0)
                return -ENOMEM;
        return add_hook(list, folder, name, is_mask, &fault);
}

static int read_folder(HookList *list, int root_fd, const char *folder, uid_t owner) {
        CLEANUP(freep) char *fault = NULL;
        CLEANUP(closedirp) DIR *dir = NULL;
        struct dirent *entry;
        int fd, r;

        r = open_folder(root_fd, folder, owner, &fd, &fault);
        if (r < 0 || fd < 0)
                return r;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                (void) close_fd(fd);
                return r;
        }
        while (r >= 0 && (entry = readdir(dir)))
                r = look_at(list, dirfd(dir), folder, entry->d_name, owner, fault);
        return r;
}

static void drop_masks(HookList *list) {
        size_t n = 0;

        for (size_t i = 0; i < list->n; i++)
                if (list->hooks[i].is_mask)
                        free(list->hooks[i].fault);
                else
                        list->hooks[n++] = list->hooks[i];
        list->n = n;
}

static int compare_hooks(const void *a, const void *b) {
        return strcmp(hook_name(a), hook_name(b));
}

int hook_list_read(int root_fd, uid_t owner, HookList *ret) {
        CLEANUP(hook_list_clear) HookList list = { .hooks = calloc(2 * HOOKS_MAX, sizeof(*list.hooks)) };
        int r = list.hooks ? 0 : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < N_FOLDERS; i++)
                r = read_folder(&list, root_fd, folders[i], owner);
        if (r < 0)
                return r;
        drop_masks(&list);
        if (list.n > HOOKS_MAX)
                return -E2BIG;
        qsort(list.hooks, list.n, sizeof(*list.hooks), compare_hooks);
        *ret = list;
        list = (HookList) {};
        return 0;
}
