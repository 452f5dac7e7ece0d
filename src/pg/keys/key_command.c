/*
 * key_command.c
 *		Runs dbcrypt.key_command.
 *
 * PostgreSQL's OpenPipeStream would wait without end for a command that ignores
 * signals, or for a child of it that holds the pipe open, and prints the command in
 * its errors. No error here does: the command may hold a password.
 */
#include "postgres.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#include "core/api/keyring.h"
#include "core/api/status.h"
#include "keys/key_command.h"
#include "keys/settings.h"

extern char **environ;

/* A running command and what it has printed. */
typedef struct KeyCommand
{
	int fd;		/* reading end of the pipe, or -1 */
	bool owned; /* the descriptor is counted */
	pid_t pid;	/* also its process group; 0 when it has ended */
	TimestampTz deadline;
	uint8_t output[65536];
	size_t size;
} KeyCommand;

/*
 * Ends the command's process group and frees what belongs to it; returns its wait
 * status. Its leader is waited for last: until then the group's number is no one else's.
 */
static int
end_command(KeyCommand *self)
{
	int status = 0;

	if (self->fd >= 0)
		close(self->fd);
	self->fd = -1;
	if (self->owned)
		ReleaseExternalFD();
	self->owned = false;
	if (self->pid > 0)
	{
		(void) kill(-self->pid, SIGKILL);
		while (waitpid(self->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	self->pid = 0;
	return status;
}

/* The same after an error, FATAL ones too; wipes the output. */
static void
abandon_command(int code, Datum arg)
{
	KeyCommand *self = (KeyCommand *) DatumGetPointer(arg);

	(void) end_command(self);
	dbcrypt_cleanse(self->output, sizeof(self->output));
}

/* Starts a shell with the command, in a process group of its own. Returns errno, or 0. */
static int
spawn_shell(pid_t *pid, const char *command, int output)
{
	char *const arguments[] = {"sh", "-c", unconstify(char *, command), NULL};
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t ignored;
	sigset_t none;
	int error;

	sigemptyset(&none);
	sigemptyset(&ignored);
	sigaddset(&ignored, SIGPIPE);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
											  POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &ignored);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	error = posix_spawn(pid, "/bin/sh", &actions, &attributes, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return error;
}

/* Starts the command. */
static void
start_command(KeyCommand *self, const char *command)
{
	int ends[2];
	int error;

	self->owned = AcquireExternalFD();
	if (!self->owned || pipe2(ends, O_CLOEXEC) != 0)
		ereport(ERROR,
				(errcode_for_file_access(), errmsg("could not execute dbcrypt.key_command: %m")));
	self->fd = ends[0];
	error = spawn_shell(&self->pid, command, ends[1]);
	close(ends[1]);
	if (error == 0)
		return;
	self->pid = 0;
	errno = error;
	ereport(ERROR,
			(errcode_for_file_access(), errmsg("could not execute dbcrypt.key_command: %m")));
}

/* Whether the shell has ended; leaves its status for waitpid. */
static bool
has_ended(const KeyCommand *self)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t) self->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
		   info.si_pid == self->pid;
}

/*
 * Waits a moment for output; a signal ends the wait. False if there is none. Throws at
 * the deadline.
 */
static bool
wait_for_output(const KeyCommand *self, int milliseconds)
{
	struct pollfd pipe_end = {.fd = self->fd, .events = POLLIN};

	CHECK_FOR_INTERRUPTS();
	if (GetCurrentTimestamp() >= self->deadline)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("dbcrypt.key_command took longer than %d ms", setting_key_command_timeout),
				 errhint("See dbcrypt.key_command_timeout.")));
	return poll(&pipe_end, 1, milliseconds) > 0;
}

/*
 * Reads until the output or the shell ends: what a child writes afterwards is not of
 * the command. Then waits for the shell.
 */
static void
read_output(KeyCommand *self)
{
	while (self->size < sizeof(self->output))
	{
		bool ended = has_ended(self);
		ssize_t got;

		if (!wait_for_output(self, ended ? 0 : 100))
		{
			if (ended)
				break;
			continue;
		}
		got = read(self->fd, self->output + self->size, sizeof(self->output) - self->size);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		self->size += Max(got, 0);
	}
	close(self->fd);
	self->fd = -1; /* poll() passes over it */
	while (self->size < sizeof(self->output) && !has_ended(self))
		(void) wait_for_output(self, 1);
}

dbcrypt_status
key_command_add(dbcrypt_ring *ring, const char *command, dbcrypt_source_error *error)
{
	KeyCommand self = {.fd = -1};
	bool too_much;
	dbcrypt_status status;
	int wait_status;

	self.deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), setting_key_command_timeout);
	PG_ENSURE_ERROR_CLEANUP(abandon_command, PointerGetDatum(&self));
	{
		start_command(&self, command);
		read_output(&self);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon_command, PointerGetDatum(&self));
	too_much = self.size == sizeof(self.output);
	wait_status = end_command(&self);
	status = DBCRYPT_OK;
	if (wait_status == 0 && !too_much)
		status = dbcrypt_ring_add_contents(ring, self.output, self.size, error);
	dbcrypt_cleanse(self.output, sizeof(self.output));
	if (too_much)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("dbcrypt.key_command printed more than 64 kB")));
	if (wait_status != 0)
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("dbcrypt.key_command failed"),
				 errdetail_internal("%s", wait_result_to_str(wait_status))));
	return status;
}
