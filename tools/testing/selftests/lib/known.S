/* SPDX-License-Identifier: GPL-2.0 */
/*
 * See known.h.
 */
#include "known.h"

	.text

#ifdef __x86_64__

/* rdi: known; loaded last. */
.macro load
	endbr64
	fninit
	fldpi
	ldmxcsr	KNOWN_MXCSR(%rdi)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	KNOWN_YMM + 32 * \n(%rdi), %ymm\n
	.endr
	mov	0x00(%rdi), %r15
	mov	0x08(%rdi), %r14
	mov	0x10(%rdi), %r13
	mov	0x18(%rdi), %r12
	mov	0x20(%rdi), %rbp
	mov	0x28(%rdi), %rbx
	mov	0x30(%rdi), %r11
	mov	0x38(%rdi), %r10
	mov	0x40(%rdi), %r9
	mov	0x48(%rdi), %r8
	mov	0x50(%rdi), %rax
	mov	0x58(%rdi), %rcx
	mov	0x60(%rdi), %rdx
	mov	0x68(%rdi), %rsi
	mov	%rsp, KNOWN_STACK(%rdi)
	movl	$1, KNOWN_LOADED(%rdi)
	mov	0x70(%rdi), %rdi
.endm

.macro arrive
	movl	$KNOWN_ARRIVED, -8(%rsp)
.endm

.macro call_kernel
	syscall
.endm

#else

/* The argument: known. eax is loaded last. */
.macro load
	endbr32
	mov	4(%esp), %eax
	fninit
	fldpi
	ldmxcsr	KNOWN_MXCSR(%eax)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7
	vmovdqu	KNOWN_YMM + 32 * \n(%eax), %ymm\n
	.endr
	mov	0x00(%eax), %ebx
	mov	0x08(%eax), %ecx
	mov	0x10(%eax), %edx
	mov	0x18(%eax), %esi
	mov	0x20(%eax), %edi
	mov	0x28(%eax), %ebp
	mov	%esp, KNOWN_STACK(%eax)
	movl	$1, KNOWN_LOADED(%eax)
	mov	0x30(%eax), %eax
.endm

.macro arrive
	movl	$KNOWN_ARRIVED, -8(%esp)
.endm

.macro call_kernel
	int	$0x80
.endm

#endif

	.globl	known_spin, known_spin_here
	.type	known_spin, @function
known_spin:
	load
	arrive
known_spin_here:
	jmp	known_spin_here
	.size	known_spin, . - known_spin

	.globl	known_call, known_call_return
	.type	known_call, @function
known_call:
	load
	call_kernel
known_call_return:
	ud2
	.size	known_call, . - known_call

	.section .note.GNU-stack, "", @progbits
