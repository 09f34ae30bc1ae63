/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tracepoints: what the module does, for those who tune or debug it. Not an
 * interface: they may change.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM memunplug

#if !defined(MEMUNPLUG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define MEMUNPLUG_TRACE_H

#include <linux/tracepoint.h>
#include <linux/types.h>

#include <uapi/linux/memunplug.h>

TRACE_EVENT(memunplug_evacuate_begin,

	TP_PROTO(u64 start, u64 size, u64 used),

	TP_ARGS(start, size, used),

	TP_STRUCT__entry(
		__field(u64, start)
		__field(u64, size)
		__field(u64, used)
	),

	TP_fast_assign(
		__entry->start = start;
		__entry->size = size;
		__entry->used = used;
	),

	TP_printk("start=0x%llx size=0x%llx used=%llu",
		  __entry->start, __entry->size, __entry->used)
);

TRACE_EVENT(memunplug_evacuate_pass,

	TP_PROTO(u64 start, u64 size, u64 fence, int error),

	TP_ARGS(start, size, fence, error),

	TP_STRUCT__entry(
		__field(u64, start)
		__field(u64, size)
		__field(u64, fence)
		__field(int, error)
	),

	TP_fast_assign(
		__entry->start = start;
		__entry->size = size;
		__entry->fence = fence;
		__entry->error = error;
	),

	TP_printk("start=0x%llx size=0x%llx fence=0x%llx error=%d",
		  __entry->start, __entry->size, __entry->fence, __entry->error)
);

TRACE_EVENT(memunplug_evacuate_end,

	TP_PROTO(u64 start, u64 size, u64 used, u32 passes, int error),

	TP_ARGS(start, size, used, passes, error),

	TP_STRUCT__entry(
		__field(u64, start)
		__field(u64, size)
		__field(u64, used)
		__field(u32, passes)
		__field(int, error)
	),

	TP_fast_assign(
		__entry->start = start;
		__entry->size = size;
		__entry->used = used;
		__entry->passes = passes;
		__entry->error = error;
	),

	TP_printk("start=0x%llx size=0x%llx used=%llu passes=%u error=%d",
		  __entry->start, __entry->size, __entry->used, __entry->passes,
		  __entry->error)
);

DECLARE_EVENT_CLASS(memunplug_gate,

	TP_PROTO(const char *name, u32 code),

	TP_ARGS(name, code),

	TP_STRUCT__entry(
		__array(char, name, MEMUNPLUG_NAME_SIZE)
		__field(u32, code)
	),

	TP_fast_assign(
		strscpy(__entry->name, name, MEMUNPLUG_NAME_SIZE);
		__entry->code = code;
	),

	TP_printk("name=%s code=0x%x", __entry->name, __entry->code)
);

/* code: the ACPI notification */
DEFINE_EVENT(memunplug_gate, memunplug_gate_notify,
	TP_PROTO(const char *name, u32 code), TP_ARGS(name, code));

/* code: the _OST status */
DEFINE_EVENT(memunplug_gate, memunplug_gate_answer,
	TP_PROTO(const char *name, u32 code), TP_ARGS(name, code));

/* code: 1 held by the gate from now on, 0 given back */
DEFINE_EVENT(memunplug_gate, memunplug_gate_held,
	TP_PROTO(const char *name, u32 code), TP_ARGS(name, code));

#endif /* MEMUNPLUG_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE memunplug_trace
#include <trace/define_trace.h>
