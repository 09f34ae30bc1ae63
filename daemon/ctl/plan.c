/* SPDX-License-Identifier: GPL-2.0-or-later */
/* plan: what an unplug would do now. */
#include <errno.h>
#include <inttypes.h>

#include "ctl/output.h"
#include "ctl/table.h"
#include "ctl/talk.h"
#include "ctl/what.h"
#include "util/cleanup.h"
#include "util/json.h"

/* Without a survey nobody knows what is in use. */
static bool is_move_known(json_object *steps) {
        uint64_t bytes;

        for (size_t i = 0; steps && i < json_object_array_length(steps); i++)
                if (!field_uint(json_object_array_get_idx(steps, i), "moveBytes", &bytes))
                        return false;
        return true;
}

static int show_steps(const Ctl *ctl, json_object *steps, bool feasible) {
        static const TableColumn columns[] = {
                { "BLOCK", TABLE_RIGHT }, { "SIZE", TABLE_RIGHT }, { "MOVE", TABLE_RIGHT },
                { "ZONE", 0 },            { "NODE", TABLE_RIGHT }, { "DEVICE", 0 },
        };
        CLEANUP(table_freep) Table *table = NULL;

        if (table_new(&table, ctl, stdout, columns, sizeof(columns) / sizeof(columns[0])) < 0)
                return output_oom();
        for (size_t i = 0; steps && i < json_object_array_length(steps); i++) {
                json_object *step = json_object_array_get_idx(steps, i);

                table_row(table);
                table_number(table, step, "block");
                table_size(table, step, "sizeBytes");
                table_size(table, step, "moveBytes");
                table_string(table, step, "zone");
                table_number(table, step, "node");
                table_string(table, step, "device");
        }
        if (table_rows(table) > 0 && !ctl->no_legend)
                fputs(feasible ? "\nWould go, in this order:\n" : "\nCould go:\n", stdout);
        return table_print(table, NULL, NULL);
}

static int show_refused(const Ctl *ctl, json_object *refused) {
        static const TableColumn columns[] = {
                { "BLOCK", TABLE_RIGHT }, { "DEVICE", 0 }, { "VERDICT", 0 }, { "REASON", TABLE_WRAP },
        };
        CLEANUP(table_freep) Table *table = NULL;

        if (table_new(&table, ctl, stdout, columns, sizeof(columns) / sizeof(columns[0])) < 0)
                return output_oom();
        for (size_t i = 0; refused && i < json_object_array_length(refused); i++) {
                json_object *refusal = json_object_array_get_idx(refused, i);

                table_row(table);
                table_number(table, refusal, "block");
                table_string(table, refusal, "device");
                table_word(table, refusal, "verdict");
                table_string(table, refusal, "reason");
        }
        if (table_rows(table) > 0 && !ctl->no_legend)
                fputs("\nCannot go:\n", stdout);
        return table_print(table, NULL, NULL);
}

static int show_plan(const Ctl *ctl, json_object *plan, bool feasible) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX];
        json_object *steps = field_array(plan, "steps");
        const char *reason = field_string(plan, "reason");
        int code;

        say(stdout, "%s%s%s%s", feasible ? "Can be done" : "Cannot be done", reason ? ": " : "",
            reason ?: "", full_stop(reason ?: ""));
        say(stdout,
            "%s %s go, %s of it in use and to be moved; %s are free elsewhere, %s of that in reserve.",
            field_size(ctl, plan, "removableBytes", a), feasible ? "would" : "could",
            is_move_known(steps) ? field_size(ctl, plan, "moveBytes", b) : "an unknown part",
            field_size(ctl, plan, "freeBytes", c), field_size(ctl, plan, "reserveBytes", d));
        if (field_string(plan, "cheapestDevice"))
                say(stdout, "The device that is cheapest to give back is %s.",
                    field_string(plan, "cheapestDevice"));
        code = show_steps(ctl, steps, feasible);
        return code == CTL_DONE ? show_refused(ctl, field_array(plan, "refused")) : code;
}

int verb_plan(const Ctl *ctl, char **args, size_t n_args) {
        CLEANUP(json_putp) json_object *parameters = json_object_new_object();
        CLEANUP(reply_clear) Reply reply = {};
        const char *hint = NULL;
        bool feasible = false;
        int r;

        (void) n_args;
        if (!parameters)
                return output_oom();
        r = what_parse(args[0], parameters, &hint);
        if (r == -EINVAL) {
                say(stderr, "Cannot use '%s': %s.", args[0], hint);
                return CTL_FAILED;
        }
        if (r < 0)
                return output_oom();
        r = talk_call(ctl, "org.memunplug.Plan", parameters, &reply);
        if (r != CTL_DONE)
                return r;
        if (json_get_bool(reply.parameters, "feasible", &feasible) < 0)
                return talk_failure(ctl, -EBADMSG); /* nothing can be told without it */
        r = ctl->json != CTL_JSON_OFF ? output_json(ctl, reply.parameters) :
            ctl->quiet ? CTL_DONE : show_plan(ctl, reply.parameters, feasible);
        return r == CTL_DONE && !feasible ? CTL_FAILED : r;
}
