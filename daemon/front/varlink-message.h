/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is on the wire: bytes cut into messages at each NUL, and what a call may look like.
 * Pure: no socket, no time, no dispatch. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes that come in at the end and leave at the start. All zero is an empty one. */
typedef struct VarlinkBuffer {
        char *data;
        size_t size;    /* allocated */
        size_t start;   /* first byte that is still in */
        size_t end;     /* behind the last one */
} VarlinkBuffer;

static inline size_t varlink_buffer_length(const VarlinkBuffer *buffer) {
        return buffer->end - buffer->start;
}

/* Room for n more bytes behind the end; *ret is where they go. -ENOMEM. */
int varlink_buffer_reserve(VarlinkBuffer *buffer, size_t n, char **ret);
int varlink_buffer_append(VarlinkBuffer *buffer, const char *data, size_t n);
/* Drops n bytes from the start; an empty buffer holds no memory worth speaking of. */
void varlink_buffer_consume(VarlinkBuffer *buffer, size_t n);
void varlink_buffer_clear(VarlinkBuffer *buffer);

/* Messages of one peer that were received and not taken. Each byte is looked at once. */
typedef struct VarlinkFrames {
        VarlinkBuffer bytes;
        size_t n_messages;  /* whole ones */
        size_t tail;        /* bytes of the message that is not whole yet */
        bool too_large;     /* a message above the limit came: nothing behind it can be trusted */
} VarlinkFrames;

/* How much more may be received now; 0: first take some. At most max bytes are held. */
size_t varlink_frames_room(const VarlinkFrames *frames, size_t max);
int varlink_frames_reserve(VarlinkFrames *frames, size_t n, char **ret);
/* n bytes have been written where varlink_frames_reserve() said. */
void varlink_frames_received(VarlinkFrames *frames, size_t n, size_t message_max);
/* The first whole message, n bytes without its NUL; it stays until varlink_frames_drop(). False: none. */
bool varlink_frames_first(const VarlinkFrames *frames, const char **ret, size_t *ret_n);
void varlink_frames_drop(VarlinkFrames *frames, size_t n);
void varlink_frames_drop_tail(VarlinkFrames *frames); /* what is not whole yet will never be */
void varlink_frames_clear(VarlinkFrames *frames);

/* One method call. */
typedef struct VarlinkMessage {
        json_object *object;      /* the whole; owned */
        const char *method;       /* in object */
        json_object *parameters;  /* in object; NULL: none */
        bool more, oneway, upgrade;
} VarlinkMessage;

/* -EBADMSG: not a call, the peer does not speak Varlink. -ENOMEM. */
int varlink_message_parse(const char *text, size_t n, VarlinkMessage *ret);
/* The same for a text that begins with half a message of somebody else. A few places are tried. */
int varlink_message_parse_late(const char *text, size_t n, VarlinkMessage *ret);
void varlink_message_clear(VarlinkMessage *message);

/* Appends a reply with its NUL. error, parameters may be NULL. */
int varlink_message_write(VarlinkBuffer *buffer, const char *error, json_object *parameters, bool continues);
