/*
 * 088_key_memory.c
 *		Preloaded into a server by 088_key_memory.pl: its processes may be looked into,
 *		which dbcrypt forbids, and one for which there is a file of its number in the folder
 *		STOP_AT_EXIT stops before it ends, after it has cleaned up.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int
prctl(int option, ...)
{
	int (*real)(int, unsigned long, unsigned long, unsigned long, unsigned long);
	unsigned long arguments[4];
	va_list list;

	va_start(list, option);
	for (int i = 0; i < 4; i++)
		arguments[i] = va_arg(list, unsigned long);
	va_end(list);
	*(void **) &real = dlsym(RTLD_NEXT, "prctl");
	real(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	if (option == PR_SET_DUMPABLE)
		return 0;
	return real(option, arguments[0], arguments[1], arguments[2], arguments[3]);
}

void
exit(int status)
{
	void (*real)(int) __attribute__((noreturn));
	char file[4096];

	snprintf(file, sizeof(file), "%s/%d", getenv("STOP_AT_EXIT"), (int) getpid());
	if (access(file, F_OK) == 0)
		raise(SIGSTOP);
	*(void **) &real = dlsym(RTLD_NEXT, "exit");
	real(status);
}
