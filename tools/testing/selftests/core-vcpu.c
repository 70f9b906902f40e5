// SPDX-License-Identifier: GPL-2.0
/*
 * Threads that run a virtual machine: exact general registers, which are those
 * of the call KVM_RUN, and no others, since those in the CPU are the guest's.
 * KVM_RUN does not return, and the guest goes on where it was.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fixture.h"
#include "live.h"
#include "pattern.h"
#include "registers.h"

enum {
	PAGE		= 4096,
	/* Where guest-physical memory has what: real mode, all segments at 0. */
	VECTORS		= 0,		/* the vectors; the stack below CODE */
	CODE		= PAGE,
	SHARED		= 2 * PAGE,	/* the beginning of struct target_page */
	VECTOR_NMI	= 2,
	OUT_PORT	= 0x10,
};

/* target_slot.value[] */
enum { RSP, FS_BASE, VCPU, EXIT, UNCHANGED };
/* target_page.value[] */
enum { IOCTL_RETURN };

_Static_assert(offsetof(struct target_page, slot[3]) < PAGE, "what the guest sees");

struct vm {
	struct target_slot *slot;
	int fd;
	int vcpu;
	struct kvm_run *run;
	struct pattern pattern;
	struct pattern after;
};

static struct vm looping, halted;

static int open_kvm(void)
{
	int fd = CHECK(open("/dev/kvm", O_RDWR | O_CLOEXEC));

	if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		FAIL("not the KVM that we know");
	return fd;
}

static void set_memory(struct vm *vm, uint32_t slot, uint64_t at, void *memory, uint64_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = size,
		.userspace_addr = (uint64_t)memory,
	};

	CHECK(ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region));
}

/* Counts a turn in the slot, and leaves by an `out` when it is told to stop. */
static unsigned char *emit_turn(unsigned char *at, uint16_t counter)
{
	const uint16_t stop = SHARED + offsetof(struct target_page, stop);
	const unsigned char code[] = {
		0x66, 0xff, 0x06, counter & 0xff, counter >> 8,	/* incl counter */
		0x66, 0x83, 0x3e, stop & 0xff, stop >> 8, 0,	/* cmpl $0, stop */
		0x74, 0x02,					/* je over the next */
		0xe6, OUT_PORT,					/* out %al, OUT_PORT */
	};

	return mempcpy(at, code, sizeof(code));
}

static void make_vm(struct vm *vm, struct target_self *self, bool halts)
{
	unsigned char *memory = CHECK_POINTER(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
						   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	unsigned char *code = memory + CODE;
	struct kvm_regs regs = { .rip = CODE, .rsp = CODE, .rflags = 2 };
	struct kvm_lapic_state lapic;
	struct kvm_sregs sregs;
	int device = open_kvm();
	uint16_t counter, *vector;

	vm->slot = target_slot(self);
	vm->slot->nr = halts ? SYS_ioctl : SPINS;
	counter = SHARED + ((char *)&vm->slot->counter - (char *)self->page);
	vm->fd = CHECK(ioctl(device, KVM_CREATE_VM, 0));
	if (halts) {
		/* Then the kernel waits for interrupts, and not we. */
		CHECK(ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0));
		*code++ = 0xf4;				/* hlt */
		*code++ = 0xeb;				/* jmp to it */
		*code++ = 0xfd;
		vector = (uint16_t *)(memory + VECTORS + 4 * VECTOR_NMI);
		vector[0] = code - memory;
		code = emit_turn(code, counter);
		*code++ = 0xcf;				/* iret */
	} else {
		code = emit_turn(code, counter);
		*code++ = 0xeb;				/* jmp to the begin */
		*code = memory + CODE - (code + 1);
	}
	set_memory(vm, 0, 0, memory, 2 * PAGE);
	set_memory(vm, 1, SHARED, self->page, PAGE);
	vm->vcpu = CHECK(ioctl(vm->fd, KVM_CREATE_VCPU, 0));
	vm->run = CHECK_POINTER(mmap(NULL, CHECK(ioctl(device, KVM_GET_VCPU_MMAP_SIZE, 0)),
				     PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu, 0));
	CHECK(ioctl(vm->vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	CHECK(ioctl(vm->vcpu, KVM_SET_SREGS, &sregs));
	CHECK(ioctl(vm->vcpu, KVM_SET_REGS, &regs));
	if (halts) {
		/* From then on the VM knows who has which id, and whom the NMI is for. */
		CHECK(ioctl(vm->vcpu, KVM_GET_LAPIC, &lapic));
		CHECK(ioctl(vm->vcpu, KVM_SET_LAPIC, &lapic));
	}
	close(device);
}

static void *run_vcpu(void *argument)
{
	struct target_slot *slot = argument;
	struct vm *vm = slot == looping.slot ? &looping : &halted;
	struct pattern *after = &vm->after;

	slot->value[VCPU] = vm->vcpu;
	slot->value[FS_BASE] = (uint64_t)pthread_self();
	STORE(slot->tid, gettid());
	pattern_ioctl(&vm->pattern, after, vm->vcpu, KVM_RUN, 0);
	STORE(slot->result, after->rax ? (int64_t)after->rax : 1);
	slot->value[EXIT] = vm->run->exit_reason;
	/* But for what a system call changes, and what it is told. */
	after->rax = vm->pattern.rax;
	after->rcx = vm->pattern.rcx;
	after->rdx = vm->pattern.rdx;
	after->rsi = vm->pattern.rsi;
	after->r11 = vm->pattern.r11;
	slot->value[UNCHANGED] = !memcmp(after, &vm->pattern, sizeof(*after));
	return NULL;
}

/* As a device does it, while the vCPU is in KVM_RUN. */
static void send_nmi(struct vm *vm)
{
	struct kvm_msi msi = {
		.address_lo = 0xfee00000,
		.data = 4 << 8,
	};

	if (CHECK(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi)) < 1)
		FAIL("nobody took the NMI");
}

static void start_vm(struct vm *vm, unsigned int number)
{
	pattern_fill(&vm->pattern, number);
	target_thread(vm->slot, run_vcpu);
	if (!EVENTUALLY(LOAD(vm->pattern.rsp)))
		FAIL("vCPU %u does not start", number);
	vm->slot->value[RSP] = vm->pattern.rsp;
}

TARGET(machines)
{
	self->page->value[IOCTL_RETURN] = (uint64_t)pattern_ioctl_return;
	make_vm(&looping, self, false);
	make_vm(&halted, self, true);
	start_vm(&looping, 0);
	start_vm(&halted, 1);
	target_event(self, 'R');
	while (target_command(self)) {
		send_nmi(&halted);
		target_event(self, 'n');
	}
	return 0;
}

static bool cpu_has(const char *flag)
{
	char *text = proc_text("cpuinfo");
	bool has = text && strstr(text, flag);

	free(text);
	return has;
}

static void expect_vcpu(struct __test_metadata *_metadata, const struct target *t,
			const struct image *image, int n, unsigned int how)
{
	const struct target_slot *slot = &t->page->slot[1 + n];
	const struct image_thread *thread = image_thread(image, slot->tid);
	const struct livecore_note_thread *live = live_thread(image, slot->tid);
	struct user_regs_struct expected, seen;
	struct pattern pattern;

	ASSERT_NE(NULL, thread);
	ASSERT_NE(NULL, live);
	EXPECT_EQ(how, live->how);
	EXPECT_EQ(LIVECORE_THREAD_GUEST_FPU, live->flags);
	EXPECT_EQ(SYS_ioctl, live->syscall);
	EXPECT_EQ(slot->value[VCPU], live->args[0]);
	EXPECT_EQ(KVM_RUN, live->args[1]);
	EXPECT_EQ(0, live->args[2]);
	EXPECT_TRUE(registers_are_general(thread));
	pattern_fill(&pattern, n);
	seen = registers_of(thread);
	expected = registers_of_pattern(&pattern);
	registers_in_syscall(&expected, SYS_ioctl, t->page->value[IOCTL_RETURN],
			     (uint64_t[]){ slot->value[VCPU], KVM_RUN, 0 });
	expected.r11 = seen.eflags;
	expected.rsp = slot->value[RSP];
	expected.fs_base = slot->value[FS_BASE];
	EXPECT_EQ(0, registers_differ(&expected, &seen))
		TH_LOG("vCPU %d", n);
}

CORE_TEST(vcpus)
{
	struct target_slot *loop, *halt;
	struct image image;
	struct target t;
	int fd;

	if (!cpu_has(" svm ") && !cpu_has(" vmx "))
		SKIP(return, "a CPU that cannot run virtual machines");
	if (!__builtin_cpu_supports("avx"))
		SKIP(return, "a CPU without AVX");
	/* Built in where this fails; else opening tells. */
	if (access("/dev/kvm", F_OK) && system("modprobe kvm_amd || modprobe kvm_intel"))
		FAIL("no module for /dev/kvm");
	target_start(&t, "machines", NULL);
	target_settle(&t);
	loop = &t.page->slot[1];
	halt = &t.page->slot[2];
	for (int round = 0; round < 3; round++) {
		uint64_t turns, nmis = LOAD(halt->counter);

		/* An NMI gets through, and the guest is halted again. */
		target_send(&t, 'n');
		target_expect(&t, 'n');
		EXPECT_TRUE(EVENTUALLY(LOAD(halt->counter) == nmis + 1));
		target_settle(&t);
		fd = core_open(t.pid);
		ASSERT_LE(0, fd);
		turns = LOAD(loop->counter);
		ASSERT_EQ(0, image_read(&image, fd));
		expect_vcpu(_metadata, &t, &image, 0, LIVECORE_THREAD_PARKED);
		expect_vcpu(_metadata, &t, &image, 1, LIVECORE_THREAD_IN_PLACE);
		/* The guest is held with the thread that runs it. */
		EXPECT_EQ(turns, LOAD(loop->counter));
		/* KVM may have a worker of its own. */
		EXPECT_EQ(LIVECORE_INEXACT_REGISTERS,
			  live_note(&image)->inexact & ~LIVECORE_INEXACT_WORKERS);
		image_free(&image);
		close(fd);
		EXPECT_TRUE(target_runs(&t));
		EXPECT_EQ(0, LOAD(loop->result));
		EXPECT_EQ(0, LOAD(halt->result));
	}

	/* And so it ends: the guests say so themselves. */
	STORE(t.page->stop, 1);
	EXPECT_TRUE(EVENTUALLY(LOAD(loop->result)));
	target_send(&t, 'n');
	target_expect(&t, 'n');
	EXPECT_TRUE(EVENTUALLY(LOAD(halt->result)));
	for (int n = 1; n <= 2; n++) {
		EXPECT_EQ(1, t.page->slot[n].result);
		EXPECT_TRUE(EVENTUALLY(LOAD(t.page->slot[n].value[UNCHANGED])));
		EXPECT_EQ(KVM_EXIT_IO, t.page->slot[n].value[EXIT]);
	}
	EXPECT_EQ(0, target_finish(&t));
}

CORE_TEST_MAIN
