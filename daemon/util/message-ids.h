/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The MESSAGE_ID= of each event that an administrator may look for in the journal. They never
 * change; units/memunplugd.catalog explains each. Use: "MESSAGE_ID=" MEMUNPLUG_MESSAGE_JOB_DONE. */
#pragma once

/* a demand became a job */
#define MEMUNPLUG_MESSAGE_JOB_ACCEPTED "8e6d143d76914080a79768e62a71c2e2"
/* a job went from one state to the next */
#define MEMUNPLUG_MESSAGE_JOB_STATE "d2793ae33a524c5296cdf1f00fe910be"
/* a job ended: all of it was removed or brought back */
#define MEMUNPLUG_MESSAGE_JOB_DONE "826874e99fd14101b632353b510b03ef"
/* a job ended with a part, as its caller allowed */
#define MEMUNPLUG_MESSAGE_JOB_PARTIAL "9f51dc8d4eda4580bd9ef4c83409f3ba"
/* a job ended without result; what it took is back */
#define MEMUNPLUG_MESSAGE_JOB_FAILED "f34a381b56684f2baba899f3564e4d52"
/* a job was cancelled; what it took is back */
#define MEMUNPLUG_MESSAGE_JOB_CANCELLED "b8035f90988143a18235738483352545"
/* a demand was not accepted */
#define MEMUNPLUG_MESSAGE_REQUEST_REFUSED "ed0ecfb988c34aa3a24e535f0a2b8b1b"
/* a job was under way when the service died */
#define MEMUNPLUG_MESSAGE_INTERRUPTED "5b63e3beeb3f41f693209fe638202e14"
/* a worker does not come back from the kernel */
#define MEMUNPLUG_MESSAGE_WORKER_STUCK "4fc5602c99874f76b97fbf147141ae84"
/* the kernel module cannot be used */
#define MEMUNPLUG_MESSAGE_ENGINE_SYSFS "1cea46a0287e4d019eacb29ef7e08244"
/* a line of the configuration was ignored */
#define MEMUNPLUG_MESSAGE_CONFIG_INVALID "090ee327eeac46baa18a7232d19a81d9"
