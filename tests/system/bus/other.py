# SPDX-License-Identifier: GPL-2.0-or-later
"""Being another user for a while."""
import json
import os
import select


class Other:
    """A process of another user: its function's result, as JSON."""

    def __init__(self, uid, function, *arguments):
        self.reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
                os.write(writing, json.dumps(function(*arguments)).encode())
                code = 0
            except Exception as e:
                print(f"# as {uid}: {type(e).__name__}: {e}", flush=True)
            finally:
                os._exit(code)
        os.close(writing)

    def has_ended(self, seconds):
        """Or does within that time."""
        return bool(select.select([self.reading], [], [], seconds)[0])

    def result(self):
        with os.fdopen(self.reading) as pipe:
            text = pipe.read()
        assert os.waitpid(self.pid, 0)[1] == 0
        return json.loads(text)
