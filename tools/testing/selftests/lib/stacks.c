// SPDX-License-Identifier: GPL-2.0
/*
 * Threads on stacks of every kind.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "check.h"
#include "stacks.h"

#define noinline	__attribute__((__noinline__, __noclone__))

enum {
	DEEP_FRAMES	= 500,
	SMALL_STACK	= 256 * 1024,
};

static __thread struct target_slot *slot;
static __thread int number;
static struct target_page *page;

void stack_mark(struct stack_mark *mark, int thread, int which)
{
	for (int i = 0; i < STACK_MARK_WORDS; i++)
		mark->word[i] = 0x5ac0000000000000 + thread * 0x10000 + which * 0x100 + i;
}

uint64_t stack_mark_address(struct target *target, int thread, int which)
{
	return LOAD(target->page->slot[1 + thread].value[which]);
}

static void leave_mark(struct stack_mark *mark, int which)
{
	stack_mark(mark, number, which);
	STORE(slot->value[which], (uint64_t)mark);
}

/* What follows each call keeps its frame, and what is on the stack there. */
#define KEEP(object)	({ asm volatile("" : : "m" (object) : "memory"); })

static noinline int sleep_here(void)
{
	struct stack_mark mark;
	long result = SYS_pause;

	leave_mark(&mark, 1);
	asm volatile("syscall" : "+a" (result) : "m" (mark) : "rcx", "r11", "memory", "cc");
	KEEP(mark);
	return result;
}

static noinline int descend(int frames)
{
	volatile char room[1024] = { frames };
	int result = frames ? descend(frames - 1) : sleep_here();

	KEEP(room);
	return result + room[0];
}

/* Until there is nothing left. */
static noinline int overflow(int frames)
{
	volatile char room[4000] = { frames };
	int result = frames < 0 ? 0 : overflow(frames + 1);

	KEEP(room);
	return result + room[0];
}

static void handle(int signal)
{
	int result = descend(2);

	KEEP(signal);
	KEEP(result);
}

static void on_alternate_stack(int signal)
{
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_ONSTACK };
	const stack_t stack = {
		.ss_sp = CHECK_POINTER(malloc(SMALL_STACK)),
		.ss_size = SMALL_STACK,
	};

	CHECK(sigaltstack(&stack, NULL));
	CHECK(sigaction(signal, &action, NULL));
}

static void context(void)
{
	descend(3);
}

static noinline void on_own_stack(void)
{
	ucontext_t here, there;

	CHECK(getcontext(&there));
	there.uc_stack.ss_size = SMALL_STACK;
	there.uc_stack.ss_sp = CHECK_POINTER(mmap(NULL, SMALL_STACK, PROT_READ | PROT_WRITE,
						  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	there.uc_link = &here;
	makecontext(&there, context, 0);
	CHECK(swapcontext(&here, &there));
}

static noinline void sleep_on_some_stack(void)
{
	struct stack_mark mark;

	leave_mark(&mark, 0);
	switch (number) {
	case STACK_DEEP:
		descend(DEEP_FRAMES);
		break;
	case STACK_HANDLER:
		on_alternate_stack(SIGUSR1);
		CHECK_ZERO(raise(SIGUSR1));
		break;
	case STACK_OVERFLOW:
		on_alternate_stack(SIGSEGV);
		overflow(0);
		break;
	case STACK_CONTEXT:
		on_own_stack();
		break;
	default:
		descend(number);
	}
	KEEP(mark);
}

static void *run(void *argument)
{
	slot = argument;
	number = slot - page->slot - 1;
	STORE(slot->tid, gettid());
	sleep_on_some_stack();
	return NULL;
}

void stacks_make(struct target_self *self)
{
	page = self->page;
	for (int i = 0; i < STACKS; i++) {
		pthread_attr_t attributes;
		pthread_t thread;
		struct target_slot *of = target_slot(self);

		of->nr = SYS_pause;
		CHECK_ZERO(pthread_attr_init(&attributes));
		if (i == STACK_OVERFLOW)
			CHECK_ZERO(pthread_attr_setstacksize(&attributes, SMALL_STACK));
		CHECK_ZERO(pthread_create(&thread, &attributes, run, of));
		CHECK_ZERO(pthread_attr_destroy(&attributes));
	}
}
