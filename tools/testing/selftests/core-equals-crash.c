// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel is the judge: a process is dumped, and then made to crash. Both
 * cores are the same, note by note and page by page, but for what is named
 * here and in Documentation/user/crash-core.rst.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "frame.h"
#include "known.h"

#ifndef NT_X86_XSAVE_LAYOUT
#define NT_X86_XSAVE_LAYOUT	0x205
#endif

enum { PAGE = 4096, DIFFERENCES = 16 };

/*
 * The parts of the notes that may differ. @allowed says whether these two
 * values may; both are zero-extended. NULL: any two.
 */
struct field {
	uint32_t note;
	const char *name;
	struct { uint16_t at, size; } in[2];	/* by enum target_class */
	bool (*allowed)(const struct note *ours, uint64_t our, uint64_t theirs);
};

/* Nothing has happened to a process that is only dumped. */
static bool signal_is_ours_alone(const struct note *ours, uint64_t our, uint64_t theirs)
{
	(void)ours;
	return our == 0 && theirs == SIGABRT;
}

static bool is_zero(const struct note *ours, uint64_t our, uint64_t theirs)
{
	(void)ours;
	(void)theirs;
	return our == 0;
}

/* zap_process() kills the other threads so. */
static bool is_killed(const struct note *ours, uint64_t our, uint64_t theirs)
{
	(void)ours;
	return theirs == (our | 1ULL << (SIGKILL - 1));
}

/* The number of the system call that a thread is in, -1 if it is in none. */
static long system_call(const struct note *prstatus)
{
	if (prstatus->size == sizeof(struct prstatus32))
		return (int32_t)((const struct prstatus32 *)prstatus->desc)->orig_eax;
	return ((const struct elf_prstatus *)prstatus->desc)->pr_reg[15];
}

/*
 * While it waits for a signal, a thread does not block that. A crash ends the
 * wait.
 */
static bool is_awaited(const struct note *ours, uint64_t our, uint64_t theirs)
{
	bool is_32bit = ours->size == sizeof(struct prstatus32);

	/* rt_sigtimedwait(), with 32 bits that of 64-bit times. */
	return system_call(ours) == (is_32bit ? 421 : 128) &&
	       theirs == (our | 1ULL << (SIGUSR2 - 1));
}

/*
 * A thread that sleeps in a system call has no result yet. A crash wakes it:
 * the call returns that it was interrupted, or has to be restarted (-512 to
 * -516, include/linux/errno.h).
 */
static bool is_no_result(const struct note *ours, uint64_t our, uint64_t theirs)
{
	int32_t result = theirs;

	return system_call(ours) >= 0 && (int32_t)our == -ENOSYS &&
	       (result == -EINTR || (result <= -512 && result >= -516));
}

/* The leader sleeps; when it dumps itself, it runs. */
static bool sleeps_or_runs(const struct note *ours, uint64_t our, uint64_t theirs)
{
	(void)ours;
	return our == (1 | 'S' << 8) && theirs == (0 | 'R' << 8);
}

/*
 * PF_DUMPCORE, PF_SIGNALED, PF_POSTCOREDUMP, PF_EXITING, and in 7.3
 * PF_NO_NOTIFY_SIGNAL, include/linux/sched.h
 */
static bool is_of_the_dying(const struct note *ours, uint64_t our, uint64_t theirs)
{
	(void)ours;
	return !((our ^ theirs) & ~(0x200ULL | 0x400ULL | 0x8ULL | 0x4ULL | 0x800000ULL));
}

static const struct field fields[] = {
	{ NT_PRSTATUS, "pr_info.si_signo", { { 0, 4 }, { 0, 4 } }, signal_is_ours_alone },
	{ NT_PRSTATUS, "pr_cursig", { { 12, 2 }, { 12, 2 } }, signal_is_ours_alone },
	{ NT_PRSTATUS, "pr_sigpend", { { 16, 8 }, { 16, 4 } }, is_killed },
	{ NT_PRSTATUS, "pr_sighold", { { 24, 8 }, { 20, 4 } }, is_awaited },
	/* Time goes on, and is counted in another way: task_cputime_adjusted(). */
	{ NT_PRSTATUS, "pr_utime.tv_sec", { { 48, 8 }, { 40, 4 } }, NULL },
	{ NT_PRSTATUS, "pr_utime.tv_usec", { { 56, 8 }, { 44, 4 } }, NULL },
	{ NT_PRSTATUS, "pr_stime.tv_sec", { { 64, 8 }, { 48, 4 } }, NULL },
	{ NT_PRSTATUS, "pr_stime.tv_usec", { { 72, 8 }, { 52, 4 } }, NULL },
	{ NT_PRSTATUS, "rax, eax", { { 192, 8 }, { 96, 4 } }, is_no_result },
	{ NT_PRPSINFO, "pr_state, pr_sname", { { 0, 2 }, { 0, 2 } }, sleeps_or_runs },
	{ NT_PRPSINFO, "pr_flag", { { 8, 8 }, { 4, 4 } }, is_of_the_dying },
	/* All of NT_SIGINFO; below, in steps of what fits into a value. */
	{ NT_SIGINFO, "siginfo", { { 0, 128 }, { 0, 128 } }, is_zero },
};

/* What has been found to differ, in words; more than that is not kept. */
struct differences {
	unsigned int count;
	char text[DIFFERENCES][128];
};

static void __attribute__((format(printf, 2, 3)))
differ(struct differences *d, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (d->count < DIFFERENCES)
		vsnprintf(d->text[d->count], sizeof(d->text[0]), format, arguments);
	va_end(arguments);
	d->count++;
}

static uint64_t value_at(const struct note *note, size_t at, size_t size)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)note->desc + at, size);
	return value;
}

/* May a note differ at this byte? */
static bool may_differ(const struct note *ours, const struct note *theirs,
		       enum target_class class, size_t at)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t start = fields[i].in[class].at, size = fields[i].in[class].size;

		if (fields[i].note != ours->type || at < start || at - start >= size)
			continue;
		if (size > 8) {
			start = at;
			size = 1;
		}
		return !fields[i].allowed ||
		       fields[i].allowed(ours, value_at(ours, start, size),
					 value_at(theirs, start, size));
	}
	return false;
}

static void compare_note(struct differences *d, const struct note *ours,
			 const struct note *theirs, enum target_class class)
{
	const unsigned char *our = ours->desc, *their = theirs->desc;

	if (strcmp(ours->name, theirs->name) || ours->type != theirs->type ||
	    ours->size != theirs->size) {
		differ(d, "%s %#x of %zu bytes is %s %#x of %zu", theirs->name, theirs->type,
		       theirs->size, ours->name, ours->type, ours->size);
		return;
	}
	for (size_t i = 0; i < ours->size; i++) {
		if (our[i] != their[i] && !may_differ(ours, theirs, class, i)) {
			differ(d, "%s %#x, byte %zu: %#x instead of %#x", ours->name,
			       ours->type, i, our[i], their[i]);
			return;
		}
	}
}

static const struct note *behind(const struct image *image, const struct note *note)
{
	do
		note++;
	while (note < image->notes + image->nr_notes && note->type != NT_PRSTATUS);
	return note;
}

/*
 * A thread's notes are its NT_PRSTATUS, and what follows up to the next one:
 * those of the process with the first thread, the last note with the last.
 * Behind the first the order of the threads is that of their deaths in a crash,
 * and of their ids here: so each is looked up.
 */
static const struct note *last_of_all(const struct image *image)
{
	const struct note *last = &image->notes[image->nr_notes - 1];

	return last->type == NT_X86_XSAVE_LAYOUT ? last : NULL;
}

/*
 * The one note that the kernel has not comes last. It is taken from the list
 * that is compared, and stays behind its end.
 */
static void set_live_note_aside(struct image *image)
{
	const struct note *last = &image->notes[image->nr_notes - 1];

	if (strcmp(last->name, "LIVECORE"))
		FAIL("%s is the last note", last->name);
	image->nr_notes--;
}

/* How long it is in the file. */
static size_t live_note_size(const struct image *image)
{
	const struct note *note = &image->notes[image->nr_notes];

	return (const char *)note->desc + note->size - note->name + sizeof(Elf64_Nhdr);
}

static void compare_threads(struct differences *d, const struct image *ours,
			    const struct image *theirs, enum target_class class)
{
	const struct note *our_last = last_of_all(ours), *their_last = last_of_all(theirs);

	if (ours->nr_threads != theirs->nr_threads || ours->nr_notes != theirs->nr_notes)
		differ(d, "%zu threads with %zu notes instead of %zu with %zu",
		       ours->nr_threads, ours->nr_notes, theirs->nr_threads, theirs->nr_notes);
	if (ours->threads[0].tid != theirs->threads[0].tid)
		differ(d, "%d is the first", ours->threads[0].tid);
	for (size_t i = 0; i < theirs->nr_threads; i++) {
		const struct image_thread *thread = image_thread(ours, theirs->threads[i].tid);
		const struct note *our, *their = theirs->threads[i].first;

		if (!thread) {
			differ(d, "no thread %d", theirs->threads[i].tid);
			continue;
		}
		our = thread->first;
		for (;;) {
			bool our_end, their_end;

			compare_note(d, our++, their++, class);
			our_end = our == behind(ours, thread->first) || our == our_last;
			their_end = their == behind(theirs, theirs->threads[i].first) ||
				    their == their_last;
			if (our_end != their_end)
				differ(d, "notes of thread %d", thread->tid);
			if (our_end || their_end)
				break;
		}
	}
	if (our_last && their_last)
		compare_note(d, our_last, their_last, class);
	else
		differ(d, "the last note");
}

/* [vvar] and [vvar_vclock]: what the kernel tells of the time, anew with each tick. */
struct clocks {
	uint64_t start[4], end[4];
	size_t count;
};

static void find_clocks(struct clocks *clocks, pid_t pid)
{
	size_t count;
	struct mapping *list = mapping_list(pid, &count);

	clocks->count = 0;
	for (size_t i = 0; i < count && clocks->count < ARRAY_SIZE(clocks->start); i++) {
		if (strncmp(list[i].path, "[vvar", 5))
			continue;
		clocks->start[clocks->count] = list[i].start;
		clocks->end[clocks->count++] = list[i].end;
	}
	free(list);
}

static bool is_clock(const struct clocks *clocks, uint64_t address)
{
	for (size_t i = 0; i < clocks->count; i++)
		if (address >= clocks->start[i] && address < clocks->end[i])
			return true;
	return false;
}

/*
 * The kernel's headers, if it had written our one more note: PT_NOTE is longer
 * by @note bytes, and all data may start some pages later.
 */
static unsigned char *expected_headers(const struct image *theirs, size_t note, size_t shift)
{
	size_t size = theirs->phdr[0].p_offset;
	unsigned char *headers = CHECK_POINTER(malloc(size));

	memcpy(headers, theirs->data, size);
	if (theirs->is_32bit) {
		Elf32_Phdr *p = (Elf32_Phdr *)(headers + sizeof(Elf32_Ehdr));

		p->p_filesz += note;
		for (size_t i = 0; i < image_nr_loads(theirs); i++)
			(++p)->p_offset += shift;
	} else {
		Elf64_Phdr *p = (Elf64_Phdr *)(headers + sizeof(Elf64_Ehdr));

		p->p_filesz += note;
		for (size_t i = 0; i < image_nr_loads(theirs); i++)
			(++p)->p_offset += shift;
	}
	return headers;
}

static size_t page_up(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

/* The ELF header and the program headers, byte for byte; then each page. */
static void compare_memory(struct differences *d, const struct image *ours,
			   const struct image *theirs, const struct clocks *clocks)
{
	size_t end = theirs->phdr[0].p_offset + theirs->phdr[0].p_filesz;
	size_t shift = page_up(end + live_note_size(ours)) - page_up(end);
	unsigned char *headers = expected_headers(theirs, live_note_size(ours), shift);

	if (ours->size != theirs->size + shift ||
	    memcmp(ours->data, headers, theirs->phdr[0].p_offset)) {
		differ(d, "headers, or %zu bytes instead of %zu", ours->size,
		       theirs->size + shift);
		free(headers);
		return;
	}
	free(headers);
	for (size_t i = 0; i < image_nr_loads(theirs); i++) {
		const Elf64_Phdr *p = image_load(theirs, i);

		for (uint64_t at = 0; at < p->p_filesz; at += PAGE) {
			uint64_t address = p->p_vaddr + at;

			if (memcmp(ours->data + p->p_offset + shift + at,
				   theirs->data + p->p_offset + at, PAGE) &&
			    !is_clock(clocks, address))
				differ(d, "page at %#lx", address);
		}
	}
}

static void compare(struct differences *d, const struct image *ours,
		    const struct image *theirs, const struct clocks *clocks)
{
	enum target_class class = theirs->is_32bit ? TARGET_32 : TARGET_64;

	*d = (struct differences){};
	compare_threads(d, ours, theirs, class);
	compare_memory(d, ours, theirs, clocks);
}

#define PATTERN		"/proc/sys/kernel/core_pattern"
#define HUGE_PAGES	"/proc/sys/vm/nr_hugepages"

FIXTURE(crash)
{
	struct sysctl_values sysctls;
	char directory[32];
	char pattern[192], huge_pages[32];
};

FIXTURE_SETUP(crash)
{
	char pattern[64], *text;

	text = proc_text("sys/kernel/core_pattern");
	snprintf(self->pattern, sizeof(self->pattern), "%s", text);
	free(text);
	text = proc_text("sys/vm/nr_hugepages");
	snprintf(self->huge_pages, sizeof(self->huge_pages), "%s", text);
	free(text);
	strcpy(self->directory, "/tmp/livecore-XXXXXX");
	CHECK_POINTER(mkdtemp(self->directory));
	CHECK(chmod(self->directory, 0777));
	sysctl_prepare(&self->sysctls);
	/* One that does not depend on the process. */
	snprintf(pattern, sizeof(pattern), "%s/core%%%%", self->directory);
	write_text(PATTERN, pattern);
	write_text(HUGE_PAGES, "8");
}

FIXTURE_TEARDOWN_PARENT(crash)
{
	char command[64];

	sysctl_restore(&self->sysctls);
	write_text(PATTERN, self->pattern);
	write_text(HUGE_PAGES, self->huge_pages);
	snprintf(command, sizeof(command), "rm -r %s", self->directory);
	CHECK(system(command));
}

/* The core that the kernel writes when the process gets SIGABRT. */
static void crash(struct target *t, const char *directory, struct image *image)
{
	char path[64];
	int fd, status;

	CHECK(kill(t->pid, SIGABRT));
	status = target_dies_within(t, EVENT_SECONDS);
	if (status == -1 || !WIFSIGNALED(status) || !WCOREDUMP(status))
		FAIL("no core: status %#x", status);
	snprintf(path, sizeof(path), "%s/core%%", directory);
	fd = CHECK(open(path, O_RDONLY | O_CLOEXEC));
	CHECK_ZERO(image_read(image, fd));
	close(fd);
}

/* Both cores of one process. */
static void make_both(const char *directory, enum target_class class, unsigned int filter,
		      struct image *ours, struct image *theirs, struct clocks *clocks)
{
	char argument[64];
	struct target t;

	/* Nobody writes to the memory of a thread that runs: no struct rseq. */
	CHECK(setenv("GLIBC_TUNABLES", "glibc.pthread.rseq=0", 1));
	snprintf(argument, sizeof(argument), "%s %#x huge", directory, filter);
	target_start_known(&t, class, argument);
	target_settle(&t);
	CHECK_ZERO(image_dump(ours, t.pid));
	set_live_note_aside(ours);
	find_clocks(clocks, t.pid);
	crash(&t, directory, theirs);
}

static void expect_the_same(struct __test_metadata *_metadata, const struct image *ours,
			    const struct image *theirs, const struct clocks *clocks)
{
	struct differences d;

	compare(&d, ours, theirs, clocks);
	for (unsigned int i = 0; i < d.count && i < DIFFERENCES; i++)
		TH_LOG("%s", d.text[i]);
	EXPECT_EQ(0, d.count);
}

FIXTURE_VARIANT(crash)
{
	enum target_class class;
	unsigned int filter;
};

FIXTURE_VARIANT_ADD(crash, of_64_bits) { .class = TARGET_64, .filter = 0x33 };
FIXTURE_VARIANT_ADD(crash, of_64_bits_with_all) { .class = TARGET_64, .filter = 0x1ff };
FIXTURE_VARIANT_ADD(crash, of_32_bits) { .class = TARGET_32, .filter = 0x33 };
FIXTURE_VARIANT_ADD(crash, of_32_bits_with_all) { .class = TARGET_32, .filter = 0x1ff };

static void swap_notes(struct note *a, struct note *b)
{
	struct note c = *a;

	*a = *b;
	*b = c;
}

static unsigned int differences_of_notes(const struct image *ours, const struct image *theirs)
{
	struct differences d = {};

	compare_threads(&d, ours, theirs, theirs->is_32bit ? TARGET_32 : TARGET_64);
	return d.count;
}

static unsigned int differences_of_memory(const struct image *ours, const struct image *theirs,
					  const struct clocks *clocks)
{
	struct differences d = {};

	compare_memory(&d, ours, theirs, clocks);
	return d.count;
}

/* The comparison itself is compared: whatever else is changed in a core, it finds. */
static void expect_it_sees(struct __test_metadata *_metadata, struct image *ours,
			   const struct image *theirs, const struct clocks *clocks)
{
	size_t load = image_nr_loads(ours);
	unsigned char *bytes;

	for (size_t i = 0; i < ours->nr_notes; i++) {
		bytes = (unsigned char *)ours->notes[i].desc + ours->notes[i].size - 1;
		*bytes ^= 0x10;
		EXPECT_EQ(1, differences_of_notes(ours, theirs))
			TH_LOG("last byte of note %zu, type %#x", i, ours->notes[i].type);
		*bytes ^= 0x10;
	}
	for (size_t i = 1; i + 1 < ours->nr_notes; i++) {
		swap_notes(&ours->notes[i], &ours->notes[i + 1]);
		EXPECT_LT(0, differences_of_notes(ours, theirs)) TH_LOG("note %zu is later", i);
		swap_notes(&ours->notes[i], &ours->notes[i + 1]);
	}
	for (size_t i = 0; i < theirs->phdr[0].p_offset; i += 4) {
		ours->data[i] ^= 1;
		EXPECT_EQ(1, differences_of_memory(ours, theirs, clocks))
			TH_LOG("byte %zu of the headers", i);
		ours->data[i] ^= 1;
	}
	/* The last that is written to is the stack. */
	while (--load && image_load(theirs, load)->p_flags != (PF_R | PF_W))
		;
	bytes = ours->data + image_load(ours, load)->p_offset;
	memmove(bytes, bytes + PAGE, image_load(theirs, load)->p_filesz - PAGE);
	EXPECT_LT(0, differences_of_memory(ours, theirs, clocks)) TH_LOG("shifted pages");
}

TEST_F_TIMEOUT(crash, same_notes_and_memory, CORE_TEST_SECONDS)
{
	struct image ours, theirs;
	struct clocks clocks;

	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	make_both(self->directory, variant->class, variant->filter, &ours, &theirs, &clocks);
	EXPECT_EQ(variant->class == TARGET_32, theirs.is_32bit);
	EXPECT_EQ(1 + KNOWN_THREADS, theirs.nr_threads);
	EXPECT_LE(1, clocks.count);
	expect_the_same(_metadata, &ours, &theirs, &clocks);
	expect_it_sees(_metadata, &ours, &theirs, &clocks);
}

CORE_TEST_MAIN
