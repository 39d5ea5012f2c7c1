// Vectors in the order and at the distances of the vendor's SDK, and its entry point. Each section is padded to its place: linked in
// this order from 0x40100000 on, they lie at +0x00, +0x10, +0x20, +0x30, +0x50 and +0x70.

  .section .UserEnter.text, "ax"
  .p2align 4
.Lstart_address:
  .long spore_sdk_start_asm
  .global call_user_start
call_user_start:
  l32r a0, .Lstart_address
  jx a0

// A panic, or a breakpoint. The firmware may put its own code here.
  .section .DebugExceptionVector.text, "ax"
  .p2align 4
  .global _DebugExceptionVector
_DebugExceptionVector:
  wsr a0, excsave2
  j spore_sdk_debug

// Nothing raises it in the emulator.
  .section .NMIExceptionVector.text, "ax"
  .p2align 4
  .global _NMIExceptionVector
_NMIExceptionVector:
  rfi 3

  .section .KernelExceptionVector.text, "ax"
  .p2align 4
  .global _KernelExceptionVector
_KernelExceptionVector:
  wsr a0, excsave1
  j spore_sdk_kernel
  .org 0x20

  .section .UserExceptionVector.text, "ax"
  .p2align 4
  .global _UserExceptionVector
_UserExceptionVector:
  wsr a0, excsave1
  j spore_sdk_user
  .org 0x20

  .section .DoubleExceptionVector.text, "ax"
  .p2align 4
  .global _DoubleExceptionVector
_DoubleExceptionVector:
  j spore_sdk_double
  .p2align 4

  .section .text.spore_sdk_vectors, "ax"
  .p2align 2
.Lrom_user:
  .long 0x40010000
.Lrom_kernel:
  .long 0x40010004
.Lrom_double:
  .long 0x40010008
.Lfatal_debug:
  .long spore_sdk_fatal_debug
.Lstack:
  .long 0x3FFFFFF0
.Lvectors:
  .long 0x40100000
.Lstart:
  .long spore_sdk_start

spore_sdk_user:
  l32r a0, .Lrom_user
  jx a0
spore_sdk_kernel:
  l32r a0, .Lrom_kernel
  jx a0
spore_sdk_double:
  l32r a0, .Lrom_double
  jx a0

// There is no way back from a panic, so its stack may be used anew; interrupts of level 1 are masked by EPS.
spore_sdk_debug:
  l32r a1, .Lstack
  l32r a0, .Lfatal_debug
  jx a0

// From the boot loader: a1 is the stack.
  .global spore_sdk_start_asm
spore_sdk_start_asm:
  l32r a2, .Lvectors
  wsr a2, vecbase
  movi a2, 0x20
  wsr a2, ps
  rsync
  l32r a0, .Lstart
  jx a0
