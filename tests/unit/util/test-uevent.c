/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/uevent.h"

#define PATH "/devices/system/memory/memory40"
#define MESSAGE(text) (text), sizeof(text)

static void test_parse(void **state) {
        Uevent event;

        assert_int_equal(uevent_parse(MESSAGE("offline@" PATH "\0ACTION=offline\0DEVPATH=" PATH
                                              "\0SUBSYSTEM=memory\0SEQNUM=12"),
                                      &event),
                         0);
        assert_string_equal(event.action, "offline");
        assert_string_equal(event.devpath, PATH);
        assert_string_equal(event.subsystem, "memory");
}

static void test_refuses(void **state) {
        static const struct {
                const char *text;
                size_t n;
        } bad[] = {
                { "", 0 },
                { "", 1 },
                { MESSAGE("libudev\0\xfe\xed\xca\xfe") },
                { MESSAGE("add@" PATH) },
                { MESSAGE("add@" PATH "\0ACTION=add\0DEVPATH=" PATH) },
                { MESSAGE("add@" PATH "\0ACTION=add\0SUBSYSTEM=memory") },
                { MESSAGE("add@" PATH "\0ACTION=remove\0DEVPATH=" PATH "\0SUBSYSTEM=memory") },
                { MESSAGE("add@/other\0ACTION=add\0DEVPATH=" PATH "\0SUBSYSTEM=memory") },
                { MESSAGE("add@x\0ACTION=add\0DEVPATH=x\0SUBSYSTEM=memory") },
                { MESSAGE("@" PATH "\0ACTION=\0DEVPATH=" PATH "\0SUBSYSTEM=memory") },
                /* not ended */
                { "add@/d\0ACTION=add\0DEVPATH=/d\0SUBSYSTEM=memory", 43 },
        };
        Uevent event = { .action = "untouched" };

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_int_equal(uevent_parse(bad[i].text, bad[i].n, &event), -EBADMSG);
        assert_string_equal(event.action, "untouched");
}

typedef struct Heard {
        int events, lost;
} Heard;

static void hear(const Uevent *event, void *userdata) {
        Heard *heard = userdata;

        heard->events += !!event;
        heard->lost += !event;
}

static int send_forged(int fd) {
        static const char text[] = "add@" PATH "\0ACTION=add\0DEVPATH=" PATH "\0SUBSYSTEM=memory";
        struct sockaddr_nl to = { .nl_family = AF_NETLINK, .nl_groups = 1 };

        return sendto(fd, text, sizeof(text), 0, (struct sockaddr *) &to, sizeof(to)) < 0 ? -errno : 0;
}

/* In a network namespace of our own, so that nobody else hears what is forged. */
static void test_others_are_not_heard(void **state) {
        UeventMonitor *monitor = NULL;
        sd_event *loop = NULL;
        Heard heard = {};
        int fd, r;

        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
                skip();
                return;
        }
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(uevent_monitor_new(&monitor, loop, "memory", hear, &heard), 0);
        fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);
        assert_true(fd >= 0);

        assert_int_equal(send_forged(fd), 0);
        assert_true(sd_event_run(loop, 1000000) > 0); /* it arrived */
        assert_int_equal(heard.events, 0);

        /* So many that some are lost: that is told, once, and none of them is believed. */
        for (int i = 0; i < 200000 && heard.lost == 0; i++) {
                r = send_forged(fd);
                if (r == -ENOBUFS)
                        break;
                assert_int_equal(r, 0);
        }
        while (sd_event_run(loop, 0) > 0)
                ;
        assert_int_equal(heard.events, 0);
        assert_int_equal(heard.lost, 1);
        close(fd);
        assert_null(uevent_monitor_free(monitor));
        sd_event_unref(loop);
}

/* A network interface of our own namespace is the one device that a test may make. */
static int make_interface(void) {
        struct ifreq request = { .ifr_name = "memunplug0", .ifr_flags = IFF_TAP | IFF_NO_PI };
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

        if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

static void hear_interface(const Uevent *event, void *userdata) {
        Heard *heard = userdata;

        assert_non_null(event);
        assert_string_equal(event->subsystem, "net");
        heard->events += strcmp(event->action, "add") == 0 &&
                         strcmp(event->devpath, "/devices/virtual/net/memunplug0") == 0;
}

static void test_the_kernel_is_heard(void **state) {
        UeventMonitor *monitor = NULL, *other = NULL;
        sd_event *loop = NULL;
        Heard heard = {}, deaf = {};
        int fd;

        if (geteuid() != 0 || unshare(CLONE_NEWNET) < 0) {
                skip();
                return;
        }
        assert_true(sd_event_new(&loop) >= 0);
        assert_int_equal(uevent_monitor_new(&monitor, loop, "net", hear_interface, &heard), 0);
        assert_int_equal(uevent_monitor_new(&other, loop, "memory", hear, &deaf), 0);
        fd = make_interface();
        while (fd >= 0 && heard.events == 0)
                assert_true(sd_event_run(loop, 5000000) > 0);
        uevent_monitor_free(monitor);
        uevent_monitor_free(other);
        sd_event_unref(loop);
        if (fd < 0) {
                skip();
                return;
        }
        close(fd);
        assert_int_equal(heard.events, 1);
        assert_int_equal(deaf.events + deaf.lost, 0);
}

static void test_free_nothing(void **state) {
        assert_null(uevent_monitor_free(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),
                cmocka_unit_test(test_refuses),
                cmocka_unit_test(test_others_are_not_heard),
                cmocka_unit_test(test_the_kernel_is_heard),
                cmocka_unit_test(test_free_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
