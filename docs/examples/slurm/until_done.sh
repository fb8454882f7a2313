# shellcheck shell=bash
# Sourced by the batch scripts beside it: runs a search in a job that is queued again until the
# search is done.

MOST_RESTARTS=100 # a search that never gets past its start must not be queued for ever

# until_done COMMAND…: runs a search to its end, or until Slurm warns that the time runs out.
#
# Slurm sends its warning (--signal=B:USR1@SECONDS) to this shell alone, so the shell passes it on as
# TERM: the search saves its running epochs, writes its summary and ends with a code above 128. Then,
# and only then, the job goes back to the queue:
#
#   0      done, or its budget is used up          the job ends
#   1, 2   no result; refused                      the job fails: the log names what to mend
#   > 128  ended by a signal, after the warning    queued again
#   > 128  without a warning: scancel, or killed   the job fails: nobody asked for more
#
# TERM itself comes from scancel, and where the job makes room for another. It ends the search in the
# same order, but queues nothing: the user wants the end, or Slurm requeues the job itself.
until_done() {
    local search code warned=
    trap 'warned=yes; kill -TERM "${search:-}"' USR1
    trap 'kill -TERM "${search:-}"' TERM
    "$@" &
    search=$!
    # A signal interrupts `wait`. The last one, without a process to wait for, has the search's code.
    while kill -0 "$search" 2>/dev/null; do
        wait "$search"
    done
    wait "$search"
    code=$?
    trap - USR1 TERM
    if [ -n "$warned" ] && [ "$code" -gt 128 ]; then
        if [ "${SLURM_RESTART_COUNT:-0}" -lt "$MOST_RESTARTS" ]; then
            echo "Out of time after start ${SLURM_RESTART_COUNT:-0}: queued again."
            scontrol requeue "$SLURM_JOB_ID" && exit 0
        fi
        echo "Not queued again: sbatch the same script to go on." >&2
    fi
    exit "$code"
}
