/* SPDX-License-Identifier: GPL-2.0-or-later */
/* memunplugctl: options, the table of verbs, and the exit code. What verbs do is in their files. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/ctl.h"
#include "ctl/output.h"
#include "util/text.h"

static Ctl arg_ctl = { .address = CLIENT_ADDRESS_DEFAULT };

enum {
        USES_DEADLINE = 1 << 0,
        USES_PARTIAL = 1 << 1,
        USES_NO_WAIT = 1 << 2,
};

typedef struct Verb {
        const char *name;
        CtlVerb run;
        const char *argument; /* its one argument; NULL: none */
        unsigned uses;        /* options that mean something to it and not to all */
} Verb;

static const Verb verbs[] = {
        { "status", verb_status, NULL, 0 },
        { "blocks", verb_blocks, NULL, 0 },
        { "devices", verb_devices, NULL, 0 },
        { "plan", verb_plan, "WHAT", 0 },
        { "unplug", verb_unplug, "WHAT", USES_DEADLINE | USES_PARTIAL | USES_NO_WAIT },
        { "replug", verb_replug, "WHAT", USES_NO_WAIT },
        { "jobs", verb_jobs, NULL, 0 },
        { "show", verb_show, "JOB", 0 },
        { "cancel", verb_cancel, "JOB", 0 },
        { "confirm", verb_confirm, "JOB", 0 },
        { "explain", verb_explain, "BLOCK", 0 },
        { "doctor", verb_doctor, NULL, 0 },
        { "monitor", verb_monitor, NULL, 0 },
        { "metrics", verb_metrics, NULL, 0 },
};

static const char help_text[] =
        "memunplugctl [OPTIONS...] COMMAND ...\n"
        "\n"
        "Take memory away from this virtual machine, and watch it go.\n"
        "\n"
        "Commands:\n"
        "  status               Show the state of the service (default)\n"
        "  blocks               List memory blocks, and which of them can go\n"
        "  devices              List memory devices\n"
        "  plan WHAT            Show what unplug would do, change nothing\n"
        "  unplug WHAT          Take memory away\n"
        "  replug WHAT          Bring memory that is offline back\n"
        "  jobs                 List jobs under way and recent ones\n"
        "  show JOB             Show one job\n"
        "  cancel JOB           Stop a job; what it took comes back\n"
        "  confirm JOB          Let a job begin that waits for an operator\n"
        "  explain BLOCK        Show what is in a block and what stands in the way\n"
        "  doctor               Show what prevents removal here, and what to do\n"
        "  monitor              Watch jobs, blocks and devices change\n"
        "  metrics              Print figures in OpenMetrics text\n"
        "\n"
        "WHAT is a size (2G), blocks (40-47,52), a device (PNP0C80:00) or a node\n"
        "(node:1, or 2G@node:1 for so much of it).\n"
        "\n"
        "Options:\n"
        "  -h --help            Show this help\n"
        "     --version         Show the version\n"
        "     --json=MODE       Print JSON: pretty, short or off (default)\n"
        "  -j                   As --json=pretty on a terminal, else as --json=short\n"
        "     --bytes           Print sizes as plain numbers of bytes\n"
        "     --no-legend       Leave out headings and footers\n"
        "  -q --quiet           No progress, no word of success\n"
        "     --deadline=TIME   unplug: give up after this time (30s, 5min)\n"
        "     --partial         unplug: take what can go, even if it is less\n"
        "     --no-wait         unplug, replug: do not wait for the end of the job\n"
        "     --address=PATH    Connect to this socket\n"
        "\n"
        "See the memunplugctl(1) man page for details.\n";

static int usage_error(void) {
        fputs("See 'memunplugctl --help'.\n", stderr);
        return -EINVAL;
}

static int parse_json_mode(const char *text) {
        static const char *const modes[] = {
                [CTL_JSON_OFF] = "off",
                [CTL_JSON_SHORT] = "short",
                [CTL_JSON_PRETTY] = "pretty",
        };

        for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
                if (strcmp(text, modes[i]) == 0) {
                        arg_ctl.json = (CtlJson) i;
                        return 0;
                }
        say(stderr, "--json=%s: it is one of pretty, short, off.", text);
        return usage_error();
}

static int parse_deadline(const char *text) {
        uint64_t usec;

        if (parse_duration(text, &usec) < 0 || usec == 0 || usec > INT64_MAX) {
                say(stderr, "--deadline=%s: it is a time like 30s or 5min.", text);
                return usage_error();
        }
        arg_ctl.deadline_usec = usec;
        return 0;
}

/* Values for getopt_long() of options without a letter. */
enum { OPTION_VERSION = 0x100, OPTION_JSON, OPTION_DEADLINE, OPTION_PARTIAL, OPTION_NO_WAIT, OPTION_ADDRESS,
       OPTION_NO_LEGEND, OPTION_BYTES };

static const struct option options[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "json", required_argument, NULL, OPTION_JSON },
        { "deadline", required_argument, NULL, OPTION_DEADLINE },
        { "partial", no_argument, NULL, OPTION_PARTIAL },
        { "no-wait", no_argument, NULL, OPTION_NO_WAIT },
        { "address", required_argument, NULL, OPTION_ADDRESS },
        { "no-legend", no_argument, NULL, OPTION_NO_LEGEND },
        { "bytes", no_argument, NULL, OPTION_BYTES },
        { "quiet", no_argument, NULL, 'q' },
        {},
};

/* 0: go on; 1: all is said; negative: wrong usage, said. */
static int parse_option(int option) {
        switch (option) {
        case 'h':
                fputs(help_text, stdout);
                return 1;
        case OPTION_VERSION:
                puts("memunplug " MEMUNPLUG_VERSION);
                return 1;
        case OPTION_JSON:
                return parse_json_mode(optarg);
        case 'j':
                arg_ctl.json = isatty(STDOUT_FILENO) ? CTL_JSON_PRETTY : CTL_JSON_SHORT;
                return 0;
        case OPTION_DEADLINE:
                return parse_deadline(optarg);
        case OPTION_PARTIAL:
                arg_ctl.partial = true;
                return 0;
        case OPTION_NO_WAIT:
                arg_ctl.no_wait = true;
                return 0;
        case OPTION_ADDRESS:
                arg_ctl.address = optarg;
                return 0;
        case OPTION_NO_LEGEND:
                arg_ctl.no_legend = true;
                return 0;
        case OPTION_BYTES:
                arg_ctl.bytes = true;
                return 0;
        case 'q':
                arg_ctl.quiet = true;
                return 0;
        default: /* getopt_long() has said what is wrong */
                return usage_error();
        }
}

static const Verb *find_verb(const char *name) {
        for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
                if (strcmp(verbs[i].name, name) == 0)
                        return &verbs[i];
        say(stderr, "There is no command '%s'.", name);
        (void) usage_error();
        return NULL;
}

/* An option that means nothing to the verb would be a wish that nobody hears. */
static int check_options(const Verb *verb) {
        const struct {
                unsigned use;
                bool given;
                const char *name;
        } given[] = {
                { USES_DEADLINE, arg_ctl.deadline_usec > 0, "--deadline" },
                { USES_PARTIAL, arg_ctl.partial, "--partial" },
                { USES_NO_WAIT, arg_ctl.no_wait, "--no-wait" },
        };

        for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
                if (given[i].given && !(verb->uses & given[i].use)) {
                        say(stderr, "'%s' does not take %s.", verb->name, given[i].name);
                        return usage_error();
                }
        return 0;
}

static int check_arguments(const Verb *verb, int n) {
        int wanted = verb->argument ? 1 : 0;

        if (n == wanted)
                return 0;
        if (n < wanted)
                say(stderr, "'%s' needs an argument: memunplugctl %s %s", verb->name, verb->name,
                    verb->argument);
        else
                say(stderr, "'%s' takes %s.", verb->name, wanted ? "one argument only" : "no arguments");
        return usage_error();
}

/* What was printed counts only once it is written: a full disk is a failure too. */
static int finish(int code) {
        if (fflush(stdout) == 0 && !ferror(stdout))
                return code;
        say(stderr, "Cannot write the output: %s.", strerror(errno));
        return code == CTL_DONE ? CTL_FAILED : code;
}

int main(int argc, char **argv) {
        const Verb *verb = &verbs[0];
        int option, r;

        (void) setlocale(LC_CTYPE, ""); /* for the width of characters; "C" will do */
        while ((option = getopt_long(argc, argv, "hjq", options, NULL)) >= 0) {
                r = parse_option(option);
                if (r != 0)
                        return finish(r < 0 ? CTL_FAILED : CTL_DONE);
        }
        if (optind < argc) {
                verb = find_verb(argv[optind++]);
                if (!verb)
                        return CTL_FAILED;
        }
        if (check_arguments(verb, argc - optind) < 0 || check_options(verb) < 0)
                return CTL_FAILED;
        return finish(verb->run(&arg_ctl, argv + optind, (size_t) (argc - optind)));
}
