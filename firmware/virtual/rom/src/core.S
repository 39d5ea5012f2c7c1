# Exceptions, the change to the hidden stack, and what cannot be said in Rust. call0 convention.

    .section .text.core, "ax"
    .balign 4

# ---- hidden stack -------------------------------------------------------------------------------------------------------

    # a9 = where a frame of \size bytes on the hidden stack begins: below a1 if a1 lies in hidden memory already, else at its top,
    # 0x3FFC0000. Changes a8 and a9 only.
    .macro hidden_frame size
    mov a9, a1
    extui a8, a1, 18, 14
    addmi a8, a8, -4096
    addi a8, a8, 2
    beqz a8, 1f
    movi a9, -1
    extui a9, a9, 0, 12
    slli a9, a9, 18
1:  addi a9, a9, -\size
    .endm

    # Calls \function on the hidden stack with interrupts of level 1 masked. The stack changes in one instruction: an interrupt
    # finds either the caller's or the hidden one.
    .macro thunk name, function
    .balign 4
    .global thunk_\name
thunk_\name:
    hidden_frame 16
    mov a8, a1
    mov a1, a9
    s32i a8, a1, 0
    s32i a0, a1, 4
    rsil a8, 1
    s32i a8, a1, 8
    call0 \function
    l32i a8, a1, 8
    l32i a0, a1, 4
    l32i a1, a1, 0
    wsr.ps a8
    rsync
    ret
    .endm

    thunk srand, rom_srand
    thunk rand, rom_rand
    thunk set_idle_cb, rom_set_idle_cb
    thunk task, rom_task
    thunk isr_attach, rom_isr_attach
    thunk isr_mask, rom_isr_mask
    thunk reset_reason, rom_reset_reason
    thunk update_cpu_frequency, rom_update_cpu_frequency
    thunk get_cpu_frequency, rom_get_cpu_frequency
    thunk wdt_get_mode, rom_wdt_get_mode
    thunk set_interrupt_handler_arg, rom_set_interrupt_handler_arg
    thunk set_interrupt_handler, rom_set_interrupt_handler
    thunk ints_off, rom_ints_off
    thunk set_exception_handler, rom_set_exception_handler
    thunk isr_unmask, rom_isr_unmask
    thunk ints_on, rom_ints_on
    thunk write_char, rom_write_char
    thunk uart_putc1, rom_uart_putc1
    thunk uart_tx, rom_uart_tx
    thunk vprintf, rom_vprintf
    thunk install_putc1, rom_install_putc1
    thunk install_uart_printf, rom_install_uart_printf
    thunk software_reset, rom_software_reset
    thunk wdt_enable, rom_wdt_enable
    thunk wdt_disable, rom_wdt_disable
    thunk wdt_restore, rom_wdt_restore
    thunk wdt_init, rom_wdt_init
    thunk spi_read_status, rom_spi_read_status
    thunk cache_enable, rom_cache_enable
    thunk cache_disable, rom_cache_disable
    thunk spi_erase_chip, rom_spi_erase_chip
    thunk spi_erase_block, rom_spi_erase_block
    thunk spi_erase_sector, rom_spi_erase_sector
    thunk spi_erase_area, rom_spi_erase_area
    thunk spi_write, rom_spi_write
    thunk spi_read, rom_spi_read
    thunk spi_param_cfg, rom_spi_param_cfg
    thunk gpio_output_set, rom_gpio_output_set
    thunk gpio_input_get, rom_gpio_input_get
    thunk micros, hidden_micros
    thunk alarm, hidden_alarm
    thunk exit, hidden_exit
    thunk violation, hidden_violation
    thunk file_read, hidden_file_read
    thunk file_write, hidden_file_write
    thunk board, hidden_board
    thunk random, hidden_random
    thunk busy_ticks, hidden_busy_ticks
    thunk cache_enabled, hidden_cache_enabled
    thunk bite, hidden_bite
    thunk flash_size, hidden_flash_size
    thunk adc, hidden_adc
    thunk sleep, hidden_sleep
    thunk tick, clock_tick
    thunk frc1, clock_frc1

    # ets_printf(format, ...): arguments in a3 to a7, then on the caller's stack.
    .balign 4
    .global printf
printf:
    hidden_frame 48
    mov a8, a1
    mov a1, a9
    s32i a8, a1, 0
    s32i a0, a1, 4
    s32i a3, a1, 20
    s32i a4, a1, 24
    s32i a5, a1, 28
    s32i a6, a1, 32
    s32i a7, a1, 36
    addi a3, a1, 16
    mov a4, a8
    rsil a8, 1
    s32i a8, a1, 8
    call0 rom_printf
    l32i a8, a1, 8
    l32i a0, a1, 4
    l32i a1, a1, 0
    wsr.ps a8
    rsync
    ret

    # A call into the ROM at an address without a function: a0 = address + 3.
    .balign 4
    .global unimplemented
unimplemented:
    hidden_frame 16
    mov a1, a9
    addi a2, a0, -3
    call0 rom_unimplemented

# ---- exceptions ---------------------------------------------------------------------------------------------------------
# Frame of 256 bytes on the interrupted stack: EPC1 0, PS 4, SAR 8, a0 0x10, a2 0x14 … a15 0x48, EXCCAUSE 0x4C.

    .balign 4
    .global user_vector
user_vector:
    wsr.excsave1 a0
    .global user_exception
user_exception:
    addmi a1, a1, -256
    s32i a2, a1, 0x14
    s32i a3, a1, 0x18
    s32i a4, a1, 0x1c
    rsr.excsave1 a0
    rsr.exccause a2
    movi a3, 1
    slli a3, a3, 30
    addmi a3, a3, -16384
    addx4 a2, a2, a3
    l32i a2, a2, 0
    jx a2

    # Saves what the vector did not; leaves the new PS (no EXCM: exceptions are caught again) with the given interrupt level.
    .macro enter_exception ps
    s32i a0, a1, 0x10
    s32i a5, a1, 0x20
    s32i a6, a1, 0x24
    s32i a7, a1, 0x28
    s32i a8, a1, 0x2c
    s32i a9, a1, 0x30
    s32i a10, a1, 0x34
    s32i a11, a1, 0x38
    s32i a12, a1, 0x3c
    s32i a13, a1, 0x40
    s32i a14, a1, 0x44
    s32i a15, a1, 0x48
    rsr.epc1 a2
    rsr.ps a3
    rsr.sar a4
    rsr.exccause a5
    s32i a2, a1, 0
    s32i a3, a1, 4
    s32i a4, a1, 8
    s32i a5, a1, 0x4c
    movi a2, \ps
    wsr.ps a2
    rsync
    .endm

    # Table entry of cause 4.
    .balign 4
    .global interrupt_handler
interrupt_handler:
    enter_exception 0x21
    call0 dispatch_interrupts

    # Restores from the frame at a1 and returns to what was interrupted.
    .balign 4
    .global leave_exception
leave_exception:
    movi a2, 0x31
    wsr.ps a2
    rsync
    l32i a2, a1, 0
    l32i a3, a1, 8
    wsr.epc1 a2
    wsr.sar a3
    l32i a2, a1, 4
    wsr.ps a2
    rsync
    l32i a0, a1, 0x10
    l32i a2, a1, 0x14
    l32i a3, a1, 0x18
    l32i a4, a1, 0x1c
    l32i a5, a1, 0x20
    l32i a6, a1, 0x24
    l32i a7, a1, 0x28
    l32i a8, a1, 0x2c
    l32i a9, a1, 0x30
    l32i a10, a1, 0x34
    l32i a11, a1, 0x38
    l32i a12, a1, 0x3c
    l32i a13, a1, 0x40
    l32i a14, a1, 0x44
    l32i a15, a1, 0x48
    addmi a1, a1, 256
    rfe

    # Table entry of causes with a handler in C: function(frame, cause), with interrupts enabled as in the ROM.
    .balign 4
    .global c_handler
c_handler:
    enter_exception 0x20
    mov a2, a1
    l32i a3, a1, 0x4c
    movi a4, 1
    slli a4, a4, 30
    addmi a4, a4, -16384
    addmi a4, a4, 256
    addx4 a4, a3, a4
    l32i a4, a4, 0
    callx0 a4
    j leave_exception

    # Table entry of all other causes: nothing to return to.
    .balign 4
    .global unhandled
unhandled:
    rsr.epc1 a2
    rsr.exccause a3
    rsr.excvaddr a4
    mov a5, a1
    j fatal

    .balign 4
    .global debug_vector
debug_vector:
    rsr.epc2 a2
    movi a3, 64
    movi a4, 0
    mov a5, a1
    j fatal

    .balign 4
    .global double_vector
double_vector:
    rsr.depc a2
    movi a3, 65
    rsr.excvaddr a4
    mov a5, a1

fatal:
    hidden_frame 16
    mov a1, a9
    movi a6, 0x2f
    wsr.ps a6
    rsync
    call0 rom_fatal

# ---- reset --------------------------------------------------------------------------------------------------------------

    .balign 4
    .global reset_vector
reset_vector:
    movi a2, 0x2f
    wsr.ps a2
    rsync
    movi a2, 0
    wsr.intenable a2
    movi a2, 1
    slli a2, a2, 30
    wsr.vecbase a2
    rsync
    movi a1, -1
    extui a1, a1, 0, 12
    slli a1, a1, 18
    addi a1, a1, -16
    call0 rom_boot

    # poke(address, value): one access, which `skip_access` as handler of exceptions steps over if nothing is there.
    .balign 4
    .global poke
poke:
    s32i a3, a2, 0
    ret

    .balign 4
    .global skip_access
skip_access:
    rsr.epc1 a2
    addi a2, a2, 3
    wsr.epc1 a2
    l32i a2, a1, 0x14
    l32i a3, a1, 0x18
    addmi a1, a1, 256
    rfe

    # Starts what was loaded at a2, on the stack a3, interrupts enabled; the ROM's task loop follows if it returns.
    .balign 4
    .global start_image
start_image:
    mov a1, a3
    movi a3, 0x20
    wsr.ps a3
    rsync
    callx0 a2
    j rom_run

# ---- small ones ---------------------------------------------------------------------------------------------------------

    .balign 4
    .global nothing
nothing:
    movi a2, 0
    ret

    .balign 4
    .global intr_lock
intr_lock:
    rsil a2, 1
    ret

    # Sets the level to 0 whatever it was before, as the ROM does.
    .balign 4
    .global intr_unlock
intr_unlock:
    rsil a2, 0
    ret

    .balign 4
    .global set_intlevel
set_intlevel:
    mov a3, a2
    rsr.ps a2
    srli a4, a2, 4
    slli a4, a4, 4
    extui a3, a3, 0, 4
    or a3, a3, a4
    wsr.ps a3
    rsync
    ret

    .balign 4
    .global set_min_intlevel
set_min_intlevel:
    rsr.ps a3
    extui a4, a3, 0, 4
    bltu a4, a2, set_intlevel
    mov a2, a3
    ret

    .balign 4
    .global get_ccount
get_ccount:
    rsr.ccount a2
    ret

    .balign 4
    .global get_interrupt
get_interrupt:
    rsr.interrupt a2
    ret

    .balign 4
    .global set_intclear
set_intclear:
    wsr.intclear a2
    ret

    # simcall(number, a3, a4, a5) -> a2; QEMU puts the host's errno in a3.
    .balign 4
    .global simcall
simcall:
    .byte 0x00, 0x51, 0x00
    ret
