/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Framing and form of Varlink messages: where one ends, which keys it may have, how a reply is
 * written. What methods mean is for others. */
#include "front/varlink-message.h"

#include <errno.h>
#include <string.h>

#include "util/cleanup.h"
#include "util/json.h"

#define LATE_STARTS_MAX 16U
#define BUFFER_KEEP 4096U /* bytes that an empty buffer may hold on to */

int varlink_buffer_reserve(VarlinkBuffer *buffer, size_t n, char **ret) {
        size_t length = varlink_buffer_length(buffer), size;
        char *data;

        if (buffer->size - buffer->end >= n) {
                *ret = buffer->data + buffer->end;
                return 0;
        }
        /* Moving is cheap only if much was taken since the last time. */
        if (buffer->size >= length && buffer->size - length >= n && buffer->start >= buffer->size / 2) {
                memmove(buffer->data, buffer->data + buffer->start, length);
        } else {
                size = buffer->size > 0 ? buffer->size : 512;
                while (size - length < n) {
                        if (size > SIZE_MAX / 4)
                                return -ENOMEM;
                        size *= 2;
                }
                data = malloc(size);
                if (!data)
                        return -ENOMEM;
                if (length > 0)
                        memcpy(data, buffer->data + buffer->start, length);
                free(buffer->data);
                buffer->data = data;
                buffer->size = size;
        }
        buffer->start = 0;
        buffer->end = length;
        *ret = buffer->data + buffer->end;
        return 0;
}

int varlink_buffer_append(VarlinkBuffer *buffer, const char *data, size_t n) {
        char *to;
        int r;

        r = varlink_buffer_reserve(buffer, n, &to);
        if (r < 0)
                return r;
        memcpy(to, data, n);
        buffer->end += n;
        return 0;
}

void varlink_buffer_consume(VarlinkBuffer *buffer, size_t n) {
        buffer->start += n;
        if (buffer->start < buffer->end)
                return;
        buffer->start = buffer->end = 0;
        if (buffer->size > BUFFER_KEEP)
                varlink_buffer_clear(buffer);
}

void varlink_buffer_clear(VarlinkBuffer *buffer) {
        free(buffer->data);
        *buffer = (VarlinkBuffer) {};
}

size_t varlink_frames_room(const VarlinkFrames *frames, size_t max) {
        size_t length = varlink_buffer_length(&frames->bytes);

        return length < max && !frames->too_large ? max - length : 0;
}

int varlink_frames_reserve(VarlinkFrames *frames, size_t n, char **ret) {
        return varlink_buffer_reserve(&frames->bytes, n, ret);
}

void varlink_frames_received(VarlinkFrames *frames, size_t n, size_t message_max) {
        const char *p = frames->bytes.data + frames->bytes.end, *end = p + n;

        frames->bytes.end += n;
        while (p < end) {
                const char *nul = memchr(p, 0, (size_t) (end - p));

                frames->tail += (size_t) ((nul ?: end) - p);
                if (frames->tail > message_max)
                        frames->too_large = true;
                if (!nul || frames->too_large)
                        return;
                frames->n_messages++;
                frames->tail = 0;
                p = nul + 1;
        }
}

bool varlink_frames_first(const VarlinkFrames *frames, const char **ret, size_t *ret_n) {
        const char *first = frames->bytes.data + frames->bytes.start;

        if (frames->n_messages == 0)
                return false;
        *ret = first;
        *ret_n = strlen(first); /* there is a NUL: the message was counted at it */
        return true;
}

void varlink_frames_drop(VarlinkFrames *frames, size_t n) {
        varlink_buffer_consume(&frames->bytes, n + 1);
        frames->n_messages--;
}

void varlink_frames_drop_tail(VarlinkFrames *frames) {
        frames->bytes.end -= frames->tail;
        frames->tail = 0;
}

void varlink_frames_clear(VarlinkFrames *frames) {
        varlink_buffer_clear(&frames->bytes);
        *frames = (VarlinkFrames) {};
}

/* Null is as good as absent. */
static int get_flag(json_object *object, const char *key, bool *ret) {
        int r = json_get_bool(object, key, ret);

        return r == -ENOENT ? 0 : r;
}

/* Keys of the protocol, and those of vendors, which have a domain name in front and are not for us. */
static bool key_is_known(const char *key) {
        static const char *const known[] = { "method", "parameters", "more", "oneway", "upgrade" };

        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
                if (strcmp(key, known[i]) == 0)
                        return true;
        return strchr(key, '.');
}

int varlink_message_parse(const char *text, size_t n, VarlinkMessage *ret) {
        CLEANUP(varlink_message_clear) VarlinkMessage m = {};
        int r;

        r = json_parse(text, n, &m.object);
        if (r < 0)
                return r == -ENOMEM ? r : -EBADMSG;
        if (!json_object_is_type(m.object, json_type_object))
                return -EBADMSG;
        json_object_object_foreach(m.object, key, value) {
                (void) value;
                if (!key_is_known(key))
                        return -EBADMSG;
        }
        if (json_get_string(m.object, "method", &m.method) < 0 || get_flag(m.object, "more", &m.more) < 0 ||
            get_flag(m.object, "oneway", &m.oneway) < 0 || get_flag(m.object, "upgrade", &m.upgrade) < 0)
                return -EBADMSG;
        r = json_get_object(m.object, "parameters", &m.parameters);
        if (r < 0 && r != -ENOENT)
                return -EBADMSG;
        /* A call without an answer cannot have several. */
        if (m.oneway && m.more)
                return -EBADMSG;
        *ret = m;
        m = (VarlinkMessage) {};
        return 0;
}

int varlink_message_parse_late(const char *text, size_t n, VarlinkMessage *ret) {
        const char *p = text, *end = text + n;

        for (unsigned i = 0; i < LATE_STARTS_MAX && p < end; i++) {
                int r;

                p = memchr(p + 1, '{', (size_t) (end - p - 1));
                if (!p)
                        break;
                r = varlink_message_parse(p, (size_t) (end - p), ret);
                if (r != -EBADMSG)
                        return r;
        }
        return -EBADMSG;
}

void varlink_message_clear(VarlinkMessage *message) {
        json_putp(&message->object);
        *message = (VarlinkMessage) {};
}

int varlink_message_write(VarlinkBuffer *buffer, const char *error, json_object *parameters,
                          bool continues) {
        CLEANUP(json_putp) json_object *reply = json_object_new_object();
        const char *text;
        int r = 0;

        if (!reply)
                return -ENOMEM;
        if (error)
                r = json_add_string(reply, "error", error);
        /* Always there, even if empty: some clients take its absence for a broken reply. */
        if (r >= 0)
                r = json_add(reply, "parameters",
                             parameters ? json_object_get(parameters) : json_object_new_object());
        if (r >= 0 && continues)
                r = json_add_bool(reply, "continues", true);
        if (r < 0)
                return r;
        text = json_text(reply);
        if (!text)
                return -ENOMEM;
        return varlink_buffer_append(buffer, text, strlen(text) + 1);
}
