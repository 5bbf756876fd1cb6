/*
 * The schema of the state database, as the steps that lead to it.
 *
 * PRAGMA user_version says how many steps a file has taken; a step, once released, is never
 * changed: a change of the schema is another step, and tests/data/state gets a file as it leaves
 * it. Each runs in a transaction of its own.
 */
#ifndef STATE_SCHEMA_H
#define STATE_SCHEMA_H

extern const char *const schema_steps[];
extern const int schema_version; /* how many steps there are */

#endif
