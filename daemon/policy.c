/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration as the queue takes it. */
#include "policy.h"

#include "engine/owners.h"

static PlanOrder order_from_config(ConfigOrder order) {
        switch (order) {
        case CONFIG_ORDER_CHEAPEST:
                break;
        case CONFIG_ORDER_HIGHEST:
                return PLAN_ORDER_HIGHEST;
        case CONFIG_ORDER_LOWEST:
                return PLAN_ORDER_LOWEST;
        }
        return PLAN_ORDER_CHEAPEST;
}

QueuePolicy policy_from_config(const Config *config, Hooks *hooks) {
        return (QueuePolicy) {
                .guard = {
                        .keep_free_bytes = config->keep_free_bytes,
                        .protected_blocks = config->protected_blocks,
                        .n_protected = config->n_protected_blocks,
                        .protected_nodes = config->protected_nodes,
                        .n_protected_nodes = config->n_protected_nodes,
                        .try_kernel_zones = config->try_kernel_zones,
                        .empty_nodes = !config->keep_node_memory,
                        .order = order_from_config(config->order),
                },
                .deadline_usec = config->deadline_usec,
                .deadline_per_gib_usec = config->deadline_per_gib_usec,
                .retries = config->retries,
                .retry_delay_usec = config->retry_delay_usec,
                .retry_max_delay_usec = config->retry_max_delay_usec,
                .pressure_limit = config->pressure_limit,
                .pause_usec = config->pressure_pause_usec,
                .keep_cache = config->keep_cache,
                .ask = { [SOURCE_ACPI] = config->source_acpi == CONFIG_SOURCE_ASK,
                         [SOURCE_BALLOON] = config->source_balloon == CONFIG_SOURCE_ASK },
                .owners_socket = OWNERS_SOCKET,
                .hooks = hooks,
        };
}

void policy_apply(const Config *config, Hooks *hooks, Queue *queue, Onlining *onlining) {
        QueuePolicy policy = policy_from_config(config, hooks);

        queue_set_policy(queue, &policy);
        hooks_set_timeout(hooks, config->hook_timeout_usec);
        onlining_set_rule(onlining, (OnlineRule) { config->online_movable, config->online_ratio });
}
