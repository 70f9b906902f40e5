// SPDX-License-Identifier: GPL-2.0
/*
 * kernel.livecore_contents: what of the memory is in the core. What gdb makes
 * of it, core-backtraces and the judge `backtraces` ask.
 */
#define _GNU_SOURCE
#include <link.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "expected_loads.h"
#include "fixture.h"
#include "registers.h"
#include "stacks.h"

#define PAGE		4096UL
#define GIB		0x40000000UL
#define MIB		0x100000UL

/* How big it is in glibc 2.41, in bytes. */
#define STRUCT_PTHREAD	0x940UL

enum { CONTENTS_REGISTERS, CONTENTS_STACKS, CONTENTS_FULL };

/* A GiB of memory, of which every sixteenth page is in use. */
TARGET(big)
{
	char *bytes = CHECK_POINTER(mmap(NULL, GIB, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));

	for (size_t at = 0; at < GIB; at += 16 * PAGE)
		bytes[at] = 1;
	self->page->value[0] = (uint64_t)bytes;
	stacks_make(self);
	return target_serve(self);
}

static void contents(long value)
{
	sysctl_set("livecore_contents", value);
}

/*
 * The segments are the mappings, in order and without a gap, some of them cut
 * at pages; what of them is dumped, a full dump has too.
 */
static void expect_cut_mappings(struct __test_metadata *_metadata, const struct image *image,
				pid_t pid)
{
	uint64_t offset = image->phdr[0].p_offset + image->phdr[0].p_filesz;
	size_t count, load = 0;
	struct mapping *list;

	offset = (offset + PAGE - 1) & ~(PAGE - 1);
	list = mapping_list(pid, &count);
	for (size_t i = 0; i < count; i++) {
		const struct mapping *m = &list[i];
		uint64_t limit = expected_filesz(pid, m, FILTER_DEFAULT);
		uint64_t at = m->start;

		while (at < m->end) {
			const Elf64_Phdr *p = image_load(image, load++);

			ASSERT_LE(load, image_nr_loads(image));
			ASSERT_EQ(at, p->p_vaddr);
			ASSERT_LT(0, p->p_memsz);
			ASSERT_EQ(0, p->p_memsz % PAGE);
			ASSERT_EQ(0, p->p_filesz % PAGE);
			ASSERT_LE(p->p_filesz, p->p_memsz);
			EXPECT_EQ(expected_flags(m), p->p_flags);
			EXPECT_EQ(offset, p->p_offset);
			if (p->p_filesz)
				EXPECT_LE(at - m->start + p->p_filesz, limit)
					TH_LOG("%lx-%lx %s", m->start, m->end, m->path);
			offset += p->p_filesz;
			at += p->p_memsz;
		}
		EXPECT_EQ(m->end, at);
	}
	EXPECT_EQ(offset, image->size);
	free(list);
}

static void expect_marks(struct __test_metadata *_metadata, const struct image *image,
			 struct target *t)
{
	for (int n = 0; n < STACKS; n++) {
		const struct image_thread *thread = image_thread(image, t->page->slot[1 + n].tid);
		const struct user_regs_struct *regs;

		ASSERT_NE(NULL, thread);
		regs = (const void *)thread->prstatus->pr_reg;
		/* What a function may use below its stack pointer, too. */
		EXPECT_NE(NULL, image_at(image, regs->rsp - 128, 256));
		EXPECT_NE(NULL, image_at(image, regs->fs_base - PAGE, PAGE + STRUCT_PTHREAD));
		for (int which = 0; which < STACK_MARKS; which++) {
			uint64_t address = stack_mark_address(t, n, which);
			const void *found = image_at(image, address, sizeof(struct stack_mark));
			struct stack_mark mark;

			/* Nobody can know where a context came from. */
			if (n == STACK_CONTEXT && !which)
				continue;
			stack_mark(&mark, n, which);
			ASSERT_NE(NULL, found)
				TH_LOG("thread %d, mark %d at %#lx", n, which, address);
			EXPECT_EQ(0, memcmp(found, &mark, sizeof(mark)))
				TH_LOG("thread %d, mark %d at %#lx", n, which, address);
		}
	}
}

CORE_TEST(stacks_are_all_there_and_little_else)
{
	struct image image;
	const char *before;
	struct target t;

	target_start(&t, "big", NULL);
	target_settle(&t);
	before = fingerprint(t.pid);
	contents(CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(0, fingerprint_changes(t.pid, before));
	EXPECT_EQ(1 + STACKS, image.nr_threads);
	EXPECT_GT(4 * MIB, image.size);
	expect_cut_mappings(_metadata, &image, t.pid);
	expect_marks(_metadata, &image, &t);
	/* Its first pages may be taken for what is behind a stack. */
	for (size_t at = MIB; at < GIB; at += MIB)
		EXPECT_EQ(NULL, image_at(&image, t.page->value[0] + at, 1));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

/* The bytes of what is dumped are those of a full dump. */
CORE_TEST(stacks_are_a_part_of_a_full_dump)
{
	struct image full, stacks;
	struct target t;

	target_start(&t, "small", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&full, t.pid));
	contents(CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&stacks, t.pid));
	EXPECT_LT(0, stacks.size);
	for (size_t i = 0; i < image_nr_loads(&stacks); i++) {
		const Elf64_Phdr *p = image_load(&stacks, i);
		const void *bytes;

		if (!p->p_filesz)
			continue;
		bytes = image_at(&full, p->p_vaddr, p->p_filesz);
		ASSERT_NE(NULL, bytes);
		EXPECT_EQ(0, memcmp(bytes, stacks.data + p->p_offset, p->p_filesz))
			TH_LOG("%zu bytes at %#lx", p->p_filesz, p->p_vaddr);
	}
	image_free(&full);
	image_free(&stacks);
	EXPECT_EQ(0, target_finish(&t));
}

TARGET(small)
{
	stacks_make(self);
	return target_serve(self);
}

CORE_TEST(registers_are_all_notes_and_no_memory)
{
	struct image full, registers;
	uint64_t end_of_notes;
	struct target t;

	target_start(&t, "small", NULL);
	target_settle(&t);
	ASSERT_EQ(0, image_dump(&full, t.pid));
	contents(CONTENTS_REGISTERS);
	ASSERT_EQ(0, image_dump(&registers, t.pid));
	ASSERT_EQ(image_nr_loads(&full), image_nr_loads(&registers));
	for (size_t i = 0; i < image_nr_loads(&full); i++) {
		EXPECT_EQ(image_load(&full, i)->p_vaddr, image_load(&registers, i)->p_vaddr);
		EXPECT_EQ(image_load(&full, i)->p_memsz, image_load(&registers, i)->p_memsz);
		EXPECT_EQ(image_load(&full, i)->p_flags, image_load(&registers, i)->p_flags);
		EXPECT_EQ(0, image_load(&registers, i)->p_filesz);
	}
	ASSERT_EQ(full.nr_notes, registers.nr_notes);
	for (size_t i = 0; i < full.nr_notes; i++) {
		EXPECT_EQ(full.notes[i].type, registers.notes[i].type);
		EXPECT_EQ(full.notes[i].size, registers.notes[i].size);
	}
	EXPECT_EQ(1 + STACKS, registers.nr_threads);
	for (size_t i = 0; i < full.nr_threads; i++)
		EXPECT_EQ(0, memcmp(full.threads[i].prstatus->pr_reg,
				    registers.threads[i].prstatus->pr_reg,
				    sizeof(registers.threads[i].prstatus->pr_reg)));
	end_of_notes = registers.phdr[0].p_offset + registers.phdr[0].p_filesz;
	EXPECT_EQ((end_of_notes + PAGE - 1) & ~(PAGE - 1), registers.size);
	image_free(&full);
	image_free(&registers);
	EXPECT_EQ(0, target_finish(&t));
}

static void *pause_thread(void *slot)
{
	STORE(((struct target_slot *)slot)->tid, gettid());
	syscall(SYS_pause);
	return NULL;
}

/* A thread whose stack is nobody's business. */
TARGET(hidden)
{
	const size_t size = 64 * PAGE;
	struct target_slot *slot = target_slot(self);
	pthread_attr_t attributes;
	pthread_t thread;
	void *stack;

	stack = CHECK_POINTER(mmap(NULL, size, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(madvise(stack, size, MADV_DONTDUMP));
	CHECK_ZERO(pthread_attr_init(&attributes));
	CHECK_ZERO(pthread_attr_setstack(&attributes, stack, size));
	slot->nr = SYS_pause;
	CHECK_ZERO(pthread_create(&thread, &attributes, pause_thread, slot));
	return target_serve(self);
}

CORE_TEST(what_is_not_to_be_dumped_is_not)
{
	const struct image_thread *thread;
	const struct user_regs_struct *regs;
	struct image image;
	struct target t;

	target_start(&t, "hidden", NULL);
	target_settle(&t);
	contents(CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	expect_cut_mappings(_metadata, &image, t.pid);
	thread = image_thread(&image, t.page->slot[1].tid);
	ASSERT_NE(NULL, thread);
	regs = (const void *)thread->prstatus->pr_reg;
	EXPECT_EQ(NULL, image_at(&image, regs->rsp, 1));
	image_free(&image);
	EXPECT_EQ(0, target_finish(&t));
}

enum { FORGED = 8000 };

/* What the dynamic linker is said to have loaded: one page each, and no end. */
TARGET(forged)
{
	const Elf64_Dyn *dynamic = _DYNAMIC;
	char *pages = CHECK_POINTER(mmap(NULL, FORGED * PAGE, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));

	for (int i = 0; i < FORGED; i++) {
		struct link_map *map = (void *)(pages + i * PAGE);

		map->l_name = pages + (i + 1) % FORGED * PAGE + PAGE / 2;
		memset(map->l_name, 'x', PAGE / 2);
		map->l_next = (void *)(pages + (i + 1) % FORGED * PAGE);
	}
	self->page->value[0] = (uint64_t)pages;
	while (dynamic->d_tag != DT_DEBUG)
		dynamic++;
	((struct r_debug *)dynamic->d_un.d_ptr)->r_map = (void *)pages;
	target_event(self, 'R');
	while (target_command(self)) {
		struct link_map *first = (void *)pages;

		/* A circle, and then nowhere at all. */
		first->l_next = first;
		if (self->page->value[1])
			first->l_next = (void *)self->page->value[1];
		target_event(self, 'C');
	}
	return 0;
}

CORE_TEST(a_forged_list_has_an_end)
{
	struct image image;
	struct target t;

	target_start(&t, "forged", NULL);
	target_settle(&t);
	contents(CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	/* It was followed, but not to its end. */
	EXPECT_NE(NULL, image_at(&image, t.page->value[0], PAGE));
	EXPECT_GT((4096 + 1) * PAGE + 4 * MIB, image.size);
	image_free(&image);
	for (uint64_t next = 0; next < 3; next++) {
		t.page->value[1] = next == 2 ? -8UL : next;
		target_do(&t, 'C');
		ASSERT_EQ(0, image_dump(&image, t.pid));
		EXPECT_GT(4 * MIB, image.size);
		image_free(&image);
	}
	EXPECT_EQ(0, target_finish(&t));
}

/*
 * An alternate stack that begins below the stack that the thread is on, where
 * nothing is mapped; and it is near enough to the end of both to be "on" both.
 */
static __attribute__((noinline)) int wait_at_the_edge(struct target_self *self, uint64_t bottom)
{
	uint64_t here = (uint64_t)__builtin_frame_address(0);
	/* To three pages above the bottom. */
	volatile char *room = __builtin_alloca(here - bottom - 3 * PAGE);
	stack_t alternate = {
		.ss_sp = (void *)(bottom - 2 * PAGE),
		.ss_size = 5 * PAGE + PAGE / 2,
	};

	room[0] = 1;
	CHECK(sigaltstack(&alternate, NULL));
	self->page->value[0] = bottom;
	target_event(self, 'R');
	while (target_command(self))
		;
	return 0;
}

static uint64_t stack_bottom(pid_t pid)
{
	size_t count;
	struct mapping *list = mapping_list(pid, &count);
	uint64_t bottom = 0;

	for (size_t i = 0; i < count; i++)
		if (!strcmp(list[i].path, "[stack]"))
			bottom = list[i].start;
	free(list);
	if (!bottom)
		FAIL("no stack");
	return bottom;
}

TARGET(at_the_edge)
{
	return wait_at_the_edge(self, stack_bottom(getpid()));
}

/* The kernel would tell its log, with a stack, for which the lab looks. */
CORE_TEST(below_a_stack_nothing_is_looked_for)
{
	struct image image;
	struct target t;

	target_start(&t, "at_the_edge", NULL);
	target_settle(&t);
	contents(CONTENTS_STACKS);
	ASSERT_EQ(0, image_dump(&image, t.pid));
	EXPECT_EQ(1, image.nr_threads);
	EXPECT_NE(NULL, image_at(&image, registers_of(&image.threads[0]).rsp, 8));
	image_free(&image);
	/* Was the edge where it was meant to be? */
	EXPECT_EQ(t.page->value[0], stack_bottom(t.pid));
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST(bad_values_are_refused)
{
	static const char * const bad[] = { "3", "-1", "x" };

	EXPECT_EQ(CONTENTS_FULL, sysctl_get("livecore_contents"));
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, sysctl_try("livecore_contents", bad[i]));
	EXPECT_EQ(CONTENTS_FULL, sysctl_get("livecore_contents"));
	for (long value = CONTENTS_REGISTERS; value <= CONTENTS_FULL; value++) {
		contents(value);
		EXPECT_EQ(value, sysctl_get("livecore_contents"));
	}
}

CORE_TEST_MAIN
