# For gdb-multiarch, which does not know Xtensa: it is told that this is RISC-V, with the registers of lx106.xml (docs/esp8266.md).
# What gdb decodes from machine code is wrong then, so it must not: no DWARF unwinding, no software single steps.
maint set dwarf unwinders off
set osabi none
set architecture riscv:rv32
set print asm-demangle on

# Disassembly: dis, dis 0x40212345
define dis
  if $argc == 0
    eval "shell xtensa-lx106-elf-objdump -dC --start-address=%lu --stop-address=%lu build/esp8266-qemu/firmware.elf | tail -n +7", $pc, $pc + 32
  else
    eval "shell xtensa-lx106-elf-objdump -dC --start-address=%lu --stop-address=%lu build/esp8266-qemu/firmware.elf | tail -n +7", $arg0, $arg0 + 32
  end
end
document dis
Instructions of the firmware from $pc or an address on.
end
