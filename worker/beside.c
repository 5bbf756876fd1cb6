#include "worker/beside.h"

#include "base/memory.h"
#include "state/state.h"

int open_beside(const char *name, const char *state_dir, struct repository **out, struct error *err)
{
    _cleanup_error_ struct error ignored = ERROR_INIT;
    if (repository_open(name, out, err) < 0)
        return -1;
    _cleanup_free_ char *journal = state_journal(state_dir, name, &ignored);
    if (journal)
        repository_join_readers(*out, journal);
    return 0;
}
