#include "repository/change_note.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

#include <string.h>
#include <unistd.h>

#define NOTE_BYTES ((size_t)64 << 10)

int change_note_begin(const char *path, const char *what, uint64_t revision, struct error *err)
{
    _cleanup_json_ json_t *note =
        json_pack("{s:I, s:s, s:s, s:I}", "process", (json_int_t)getpid(), "since",
                  clock_text(clock_now()).s, "what", what, "revision", (json_int_t)revision);
    _cleanup_free_ char *text = json_text(note);
    return file_write(path, text, strlen(text), 0644, err);
}

void change_note_end(const char *path)
{
    unlink(path);
}

static const char *outcome(uint64_t before, uint64_t now, bool aborted)
{
    if (aborted)
        return "it did not become a revision";
    if (before == 0 || now == 0)
        return "what of it is in place stays, and what is missing comes with the next pass";
    return now > before ? "it became a revision" : "it did not become a revision";
}

static char *sentence(const json_t *note, uint64_t now, bool aborted)
{
    const char *since = json_string_value(json_object_get(note, "since")),
               *what = json_string_value(json_object_get(note, "what"));
    json_int_t process = json_integer_value(json_object_get(note, "process")),
               before = json_integer_value(json_object_get(note, "revision"));
    if (!since || !what || before < 0)
        return xstrdup("an earlier run was cut off, and its note of what it did cannot be read");
    return xasprintf("process %lld was cut off while it was %s (since %s): %s", (long long)process,
                     what, since, outcome((uint64_t)before, now, aborted));
}

char *change_note_find(const char *path, uint64_t revision, bool aborted)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (file_read(path, NOTE_BYTES, &text, &ignored) < 0)
        return NULL;
    _cleanup_json_ json_t *note = json_parse(path, text.data, text.len, NOTE_BYTES, &ignored);
    unlink(path);
    return sentence(note, revision, aborted);
}
