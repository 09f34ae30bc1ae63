/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may ask for what. Knows uids and polkit; what an operation is and what it needs is
 * the operation table's. Nothing here waits: every question to the bus is asynchronous. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "front/authz.h"
#include "util/cleanup.h"
#include "util/log.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_INTERACTION 1U

#define IDENTITY_TIMEOUT_USEC (10ULL * 1000000ULL)
#define POLKIT_TIMEOUT_USEC (25ULL * 1000000ULL)
#define POLKIT_INTERACTIVE_TIMEOUT_USEC (120ULL * 1000000ULL) /* somebody types a password */

struct AuthzCheck {
        sd_bus_message *call;
        sd_bus_message *question; /* to polkit, made before it is known whether it must be asked */
        char *cancel_id;
        AuthzCallback callback;
        void *userdata;
        sd_bus_slot *vanished;    /* watches the sender */
        sd_bus_slot *pending;     /* the answer that is awaited */
        uid_t uid;
        bool asked;               /* polkit is at work for us */
};

bool authz_peer_allowed(const Operation *operation, uid_t peer_uid, uid_t own_uid) {
        return !operation->polkit_action || peer_uid == 0 || peer_uid == own_uid;
}

/* To confirm is for those in the machine, whatever the hypervisor may ask for. */
bool authz_hypervisor_allowed(const Operation *operation, bool may_change) {
        return !operation->polkit_action || (may_change && operation->id != OPERATION_CONFIRM);
}

uid_t authz_check_uid(const AuthzCheck *check) {
        return check ? check->uid : AUTHZ_UID_UNKNOWN;
}

/* Takes an open dialog off the user's screen. No matter if it fails: polkit forgets on its own. */
static void cancel_question(AuthzCheck *check) {
        if (!check->asked)
                return;
        check->asked = false;
        (void) sd_bus_call_method_async(sd_bus_message_get_bus(check->call), /* ret_slot= */ NULL,
                                        POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                        "CancelCheckAuthorization",
                                        /* callback= */ NULL, /* userdata= */ NULL, "s", check->cancel_id);
}

static void finish(AuthzCheck *check, int result) {
        AuthzCallback callback = check->callback;

        if (!callback)
                return;
        check->callback = NULL;
        cancel_question(check);
        check->vanished = sd_bus_slot_unref(check->vanished);
        check->pending = sd_bus_slot_unref(check->pending);
        callback(check->call, result, check->userdata); /* may free the check */
}

static int on_vanished(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        log_debug("A caller left the bus while it was being authorized, denying");
        finish(userdata, -EACCES);
        return 0;
}

static int on_watching(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        /* Who cannot be watched could leave unseen, so it is denied. */
        if (sd_bus_message_is_method_error(message, /* name= */ NULL))
                finish(userdata, -EACCES);
        return 0;
}

static int on_polkit(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        int r, authorized = false, challenge = false;
        AuthzCheck *check = userdata;

        if (sd_bus_message_is_method_error(message, /* name= */ NULL)) {
                const sd_bus_error *e = sd_bus_message_get_error(message);

                /* Time is up on our side only: polkit may still be asking. Any other error ended it. */
                if (!sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) &&
                    !sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT))
                        check->asked = false;
                log_debug("polkit did not answer, denying: %s", e->message ?: e->name);
                finish(check, -EACCES);
                return 0;
        }

        check->asked = false;
        r = sd_bus_message_enter_container(message, 'r', "bba{ss}");
        if (r > 0)
                r = sd_bus_message_read(message, "bb", &authorized, &challenge);
        if (r <= 0)
                finish(check, r < 0 ? r : -EBADMSG);
        else
                finish(check, authorized ? 0 : challenge ? -EINPROGRESS : -EACCES);
        return 0;
}

static int ask_polkit(AuthzCheck *check) {
        uint64_t timeout;
        int r;

        timeout = sd_bus_message_get_allow_interactive_authorization(check->call) > 0
                                  ? POLKIT_INTERACTIVE_TIMEOUT_USEC
                                  : POLKIT_TIMEOUT_USEC;
        check->pending = sd_bus_slot_unref(check->pending);
        r = sd_bus_call_async(sd_bus_message_get_bus(check->call), &check->pending, check->question,
                              on_polkit, check, timeout);
        if (r < 0)
                return r;
        check->asked = true;
        return 0;
}

static int on_identity(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        AuthzCheck *check = userdata;
        uint32_t uid;
        int r;

        if (sd_bus_message_is_method_error(message, /* name= */ NULL) ||
            sd_bus_message_read(message, "u", &uid) <= 0 || uid == AUTHZ_UID_UNKNOWN) {
                finish(check, -EACCES); /* gone already, or the bus does not know it */
                return 0;
        }

        check->uid = uid;
        if (uid == 0 || uid == geteuid()) {
                finish(check, 0);
                return 0;
        }
        r = ask_polkit(check);
        if (r < 0)
                finish(check, r);
        return 0;
}

static int make_question(AuthzCheck *check, const char *action, const char *const *details) {
        uint32_t flags = sd_bus_message_get_allow_interactive_authorization(check->call) > 0
                                         ? POLKIT_ALLOW_INTERACTION
                                         : 0;
        int r;

        r = sd_bus_message_new_method_call(sd_bus_message_get_bus(check->call), &check->question,
                                           POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r >= 0)
                r = sd_bus_message_append(check->question, "(sa{sv})s", "system-bus-name", 1, "name", "s",
                                          sd_bus_message_get_sender(check->call), action);
        if (r >= 0)
                r = sd_bus_message_open_container(check->question, 'a', "{ss}");
        for (; r >= 0 && details && details[0]; details += 2)
                r = sd_bus_message_append(check->question, "{ss}", details[0], details[1]);
        if (r >= 0)
                r = sd_bus_message_close_container(check->question);
        if (r >= 0)
                r = sd_bus_message_append(check->question, "us", flags, check->cancel_id);
        return r < 0 ? r : 0;
}

/* First the watch, then the question who it is. The bus keeps the order: a sender that leaves later is
 * reported before any later answer, one that left earlier has no identity. Bus names are never given out
 * twice. */
static int start(AuthzCheck *check) {
        sd_bus *bus = sd_bus_message_get_bus(check->call);
        const char *sender = sd_bus_message_get_sender(check->call);
        CLEANUP(freep) char *match = NULL;
        CLEANUP(sd_bus_message_unrefp) sd_bus_message *who = NULL;
        int r;

        if (asprintf(&match,
                     "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                     "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='%s',arg2=''",
                     sender) < 0)
                return -ENOMEM;
        r = sd_bus_add_match_async(bus, &check->vanished, match, on_vanished, on_watching, check);
        if (r < 0)
                return r;

        r = sd_bus_message_new_method_call(bus, &who, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                           "org.freedesktop.DBus", "GetConnectionUnixUser");
        if (r < 0)
                return r;
        r = sd_bus_message_append(who, "s", sender);
        if (r < 0)
                return r;
        r = sd_bus_call_async(bus, &check->pending, who, on_identity, check, IDENTITY_TIMEOUT_USEC);
        return r < 0 ? r : 0;
}

AuthzCheck *authz_check_free(AuthzCheck *check) {
        if (!check)
                return NULL;
        check->callback = NULL;
        cancel_question(check);
        (void) sd_bus_slot_unref(check->vanished);
        (void) sd_bus_slot_unref(check->pending);
        (void) sd_bus_message_unref(check->question);
        (void) sd_bus_message_unref(check->call);
        free(check->cancel_id);
        free(check);
        return NULL;
}

DEFINE_CLEANUP(AuthzCheck *, authz_check_free)

int authz_check_bus(sd_bus_message *call, const Operation *operation, const char *const *details,
                    AuthzCallback callback, void *userdata, AuthzCheck **ret) {
        CLEANUP(authz_check_freep) AuthzCheck *check = NULL;
        const char *sender = sd_bus_message_get_sender(call);
        uint64_t cookie = 0;
        int r;

        if (!operation->polkit_action || !sender) {
                *ret = NULL;
                callback(call, operation->polkit_action ? -EACCES : 0, userdata);
                return 0;
        }

        check = calloc(1, sizeof(*check));
        if (!check)
                return -ENOMEM;
        check->call = sd_bus_message_ref(call);
        check->callback = callback;
        check->userdata = userdata;
        check->uid = AUTHZ_UID_UNKNOWN;

        /* A sender that uses a serial number twice gets one of the calls denied: its own doing. */
        (void) sd_bus_message_get_cookie(call, &cookie);
        if (asprintf(&check->cancel_id, "%s/%" PRIu64, sender, cookie) < 0) {
                check->cancel_id = NULL;
                return -ENOMEM;
        }
        r = make_question(check, operation->polkit_action, details);
        if (r < 0)
                return r;
        r = start(check);
        if (r < 0)
                return r;
        *ret = STEAL_PTR(check);
        return 0;
}
