/* SPDX-License-Identifier: GPL-2.0-or-later */
/* org.varlink.service, which every server has: who we are, and what our interfaces look like. */
#include <errno.h>
#include <string.h>

#include "front/varlink-internal.h"
#include "util/json.h"

#define INVALID_PARAMETER "org.varlink.service.InvalidParameter"
#define INTERFACE_NOT_FOUND "org.varlink.service.InterfaceNotFound"

/* The name of a parameter that the method does not have, or NULL. Any method may be told that the caller
 * could be asked for a password; here nobody is. */
static const char *first_unknown(json_object *parameters, const char *known) {
        if (!parameters)
                return NULL;
        json_object_object_foreach(parameters, key, value) {
                if (known && strcmp(key, known) == 0)
                        continue;
                if (strcmp(key, "allowInteractiveAuthentication") == 0 &&
                    (!value || json_object_is_type(value, json_type_boolean)))
                        continue;
                return key;
        }
        return NULL;
}

static int fill_info(const VarlinkServer *server, json_object *reply) {
        json_object *names;
        int r;

        if (json_add_string(reply, "vendor", server->vendor) < 0 ||
            json_add_string(reply, "product", server->product) < 0 ||
            json_add_string(reply, "version", server->version) < 0 ||
            json_add_string(reply, "url", server->url) < 0)
                return -ENOMEM;
        names = json_object_new_array();
        r = json_add(reply, "interfaces", names);
        for (size_t i = 0; r >= 0 && i < server->n_interfaces; i++) {
                json_object *name = json_object_new_string(server->interfaces[i].name);

                if (!name || json_object_array_add(names, name) < 0) {
                        (void) json_object_put(name);
                        r = -ENOMEM;
                }
        }
        return r;
}

static int get_info(VarlinkCall *call, const VarlinkServer *server) {
        CLEANUP(json_putp) json_object *reply = json_object_new_object();

        if (!reply || fill_info(server, reply) < 0)
                return -ENOMEM;
        return varlink_call_reply(call, reply, /* continues= */ false);
}

static int get_description(VarlinkCall *call, json_object *parameters, const VarlinkServer *server) {
        CLEANUP(json_putp) json_object *reply = NULL;
        const VarlinkInterface *interface;
        const char *name;

        if (!parameters || json_get_string(parameters, "interface", &name) < 0)
                return varlink_call_error_with(call, INVALID_PARAMETER, "parameter", "interface");
        interface = varlink_server_find(server, name, strlen(name));
        if (!interface)
                return varlink_call_error_with(call, INTERFACE_NOT_FOUND, "interface", name);
        reply = json_object_new_object();
        if (!reply || json_add_string(reply, "description", interface->description) < 0)
                return -ENOMEM;
        return varlink_call_reply(call, reply, /* continues= */ false);
}

int varlink_service_handle(VarlinkCall *call, const char *method, json_object *parameters, void *userdata) {
        bool describe = strcmp(method, "GetInterfaceDescription") == 0;
        const char *unknown;

        if (!describe && strcmp(method, "GetInfo") != 0)
                return varlink_call_error_not_found(call);
        unknown = first_unknown(parameters, describe ? "interface" : NULL);
        if (unknown)
                return varlink_call_error_with(call, INVALID_PARAMETER, "parameter", unknown);
        return describe ? get_description(call, parameters, userdata) : get_info(call, userdata);
}
