/* SPDX-License-Identifier: GPL-2.0 */
/*
 * See pattern.h.
 */
#include <sys/syscall.h>

#include "pattern.h"

	.text

/*
 * rdi: pattern, rsi: after. What is needed later is kept on the stack. Leaves
 * rax, rcx, rdx, rsi and rdi to be loaded.
 */
.macro enter
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	sub	$8, %rsp
	stmxcsr	(%rsp)
	push	%rsi
	mov	%rsp, PATTERN_RSP(%rdi)
	fninit
	fldpi
	ldmxcsr	PATTERN_MXCSR(%rdi)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	PATTERN_YMM + 32 * \n(%rdi), %ymm\n
	.endr
	mov	PATTERN_RBX(%rdi), %rbx
	mov	PATTERN_RBP(%rdi), %rbp
	mov	PATTERN_R8(%rdi), %r8
	mov	PATTERN_R9(%rdi), %r9
	mov	PATTERN_R10(%rdi), %r10
	mov	PATTERN_R11(%rdi), %r11
	mov	PATTERN_R12(%rdi), %r12
	mov	PATTERN_R13(%rdi), %r13
	mov	PATTERN_R14(%rdi), %r14
	mov	PATTERN_R15(%rdi), %r15
.endm

/* Everything into after; then as it was before. */
.macro leave
	mov	(%rsp), %rdi
	mov	%rax, PATTERN_RAX(%rdi)
	mov	%rbx, PATTERN_RBX(%rdi)
	mov	%rcx, PATTERN_RCX(%rdi)
	mov	%rdx, PATTERN_RDX(%rdi)
	mov	%rsi, PATTERN_RSI(%rdi)
	mov	%rbp, PATTERN_RBP(%rdi)
	mov	%r8, PATTERN_R8(%rdi)
	mov	%r9, PATTERN_R9(%rdi)
	mov	%r10, PATTERN_R10(%rdi)
	mov	%r11, PATTERN_R11(%rdi)
	mov	%r12, PATTERN_R12(%rdi)
	mov	%r13, PATTERN_R13(%rdi)
	mov	%r14, PATTERN_R14(%rdi)
	mov	%r15, PATTERN_R15(%rdi)
	mov	%rsp, PATTERN_RSP(%rdi)
	stmxcsr	PATTERN_MXCSR(%rdi)
	.irp	n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu	%ymm\n, PATTERN_YMM + 32 * \n(%rdi)
	.endr
	fstp	%st(0)
	vzeroupper
	pop	%rsi
	ldmxcsr	(%rsp)
	add	$8, %rsp
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	ret
.endm

.macro function name
	.globl	\name
	.type	\name, @function
\name:
	endbr64
.endm

.macro label name
	.globl	\name
\name:
.endm

/* rdx: counter, rcx: stop. The pattern is needed until the last load. */
function pattern_spin
	enter
	mov	%rcx, %rsi
	mov	PATTERN_RAX(%rdi), %rax
	mov	PATTERN_RCX(%rdi), %rcx
	xchg	%rdi, %rdx
	mov	PATTERN_RDX(%rdx), %rdx
label pattern_spin_begin
	incq	(%rdi)
	cmpl	$0, (%rsi)
	je	pattern_spin_begin
label pattern_spin_end
	leave
	.size	pattern_spin, . - pattern_spin

/* rdx: descriptor, rcx: byte */
function pattern_read
	enter
	mov	%rdx, %rdi
	mov	%rcx, %rsi
	mov	$1, %edx
	mov	$SYS_read, %eax
	syscall
label pattern_read_return
	leave
	.size	pattern_read, . - pattern_read

/* rdx: descriptor, rcx: request, r8: argument */
function pattern_ioctl
	mov	%r8, %rax
	enter
	mov	%rdx, %rdi
	mov	%rcx, %rsi
	mov	%rax, %rdx
	mov	$SYS_ioctl, %eax
	syscall
label pattern_ioctl_return
	leave
	.size	pattern_ioctl, . - pattern_ioctl

/* rdx: byte */
function pattern_fault
	enter
	mov	PATTERN_RAX(%rdi), %rax
	mov	PATTERN_RCX(%rdi), %rcx
	mov	PATTERN_RSI(%rdi), %rsi
	xchg	%rdi, %rdx
	mov	PATTERN_RDX(%rdx), %rdx
label pattern_fault_access
	cmpb	$0, (%rdi)
	leave
	.size	pattern_fault, . - pattern_fault

	.section .note.GNU-stack, "", @progbits
