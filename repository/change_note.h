/*
 * The note of the change under way (internal to repository/repository.c): a file in the state
 * directory that is there while a repository is being changed, and says what is being done to it,
 * by whom, since when, and which revision it had. After a crash the next run reads it and says
 * what became of it.
 *
 *     change_note_begin()   before the change
 *     change_note_end()     it is done, or has failed and nothing of it is there
 *     change_note_find()    at start: what somebody left who was cut off, in a sentence
 */
#ifndef REPOSITORY_CHANGE_NOTE_H
#define REPOSITORY_CHANGE_NOTE_H

#include "base/error.h"

#include <stdint.h>

MUST_CHECK int change_note_begin(const char *path, const char *what, uint64_t revision,
                                 struct error *err);
void change_note_end(const char *path);
/* `revision`: what the repository has now; 0: it has none, or it is not known. `aborted`: the
 * change's transaction was still open. NULL: nobody was cut off. The note goes. Owned. */
char *change_note_find(const char *path, uint64_t revision, bool aborted);

#endif
