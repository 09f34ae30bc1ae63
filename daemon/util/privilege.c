/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Gives up all capabilities but those to be kept, the user, and the ways to get them back; then looks for
 * itself whether that held. What is needed of them is for the service unit to say. */
#include "util/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

static const capng_type_t sets[] = {
        CAPNG_EFFECTIVE, CAPNG_PERMITTED, CAPNG_INHERITABLE, CAPNG_AMBIENT, CAPNG_BOUNDING_SET,
};

static int find_user(const char *name, struct passwd *ret) {
        const struct passwd *pw;

        errno = 0;
        pw = getpwnam(name); /* once at start, before there is anything else */
        if (!pw)
                return errno == ENOMEM ? -ENOMEM : -ESRCH;
        *ret = *pw;
        return 0;
}

/* The bounding set can only be cut down with CAP_SETPCAP. Without that right it stays as it is, and with
 * no_new_privs nothing in it can be gained any more. */
static int verify(uint64_t keep, bool bounding) {
        capng_clear(CAPNG_SELECT_ALL);
        if (capng_get_caps_process() < 0)
                return -EPERM;
        for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
                if (sets[i] == CAPNG_BOUNDING_SET && !bounding)
                        continue;
                for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
                        if (!(keep & PRIVILEGE_BIT(cap)) && capng_have_capability(sets[i], cap))
                                return -EPERM;
        }
        if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
                return -EPERM;
        return 0;
}

static int verify_user(const struct passwd *pw) {
        uid_t uids[3];
        gid_t gids[3];

        if (getresuid(&uids[0], &uids[1], &uids[2]) < 0 || getresgid(&gids[0], &gids[1], &gids[2]) < 0)
                return -EPERM;
        for (int i = 0; i < 3; i++)
                if (uids[i] != pw->pw_uid || gids[i] != pw->pw_gid)
                        return -EPERM;
        return 0;
}

/* Chooses what stays in libcap-ng's picture of this process. Inheritable and ambient too, so that a
 * helper program we start can do what we can. */
static int select_kept(uint64_t keep) {
        capng_clear(CAPNG_SELECT_ALL);
        for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
                for (unsigned i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
                        if ((keep & PRIVILEGE_BIT(cap)) && capng_update(CAPNG_ADD, sets[i], cap) < 0)
                                return -EPERM;
        return 0;
}

/* What is not there cannot be kept. */
static uint64_t permitted(uint64_t wanted) {
        for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
                if (!capng_have_capability(CAPNG_PERMITTED, cap))
                        wanted &= ~PRIVILEGE_BIT(cap);
        return wanted;
}

int privilege_drop_to(uint64_t keep, const char *user) {
        struct passwd pw = {};
        bool change_user, bounding;
        int r;

        change_user = user && geteuid() == 0;
        if (change_user) {
                r = find_user(user, &pw);
                if (r < 0)
                        return r;
        }
        if (capng_get_caps_process() < 0)
                return -EPERM;
        keep = permitted(keep);
        bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
                return -EPERM;
        r = select_kept(keep);
        if (r < 0)
                return r;
        if (bounding && capng_apply(CAPNG_SELECT_BOUNDS) < 0)
                return -EPERM;
        if (change_user && capng_change_id((int) pw.pw_uid, (int) pw.pw_gid, CAPNG_INIT_SUPP_GRP) < 0)
                return -EPERM;
        if (capng_apply(CAPNG_SELECT_CAPS) < 0 || capng_apply(CAPNG_SELECT_AMBIENT) < 0)
                return -EPERM;
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return -EPERM;
        r = verify(keep, bounding);
        if (r < 0)
                return r;
        return change_user ? verify_user(&pw) : 0;
}

int privilege_drop(const char *user) {
        return privilege_drop_to(PRIVILEGE_BIT(CAP_DAC_OVERRIDE), user);
}
