# The ROM as its callers see it: a jump at each address that has a function here, at every other word a call which tells
# what address was called. The names in braces are the addresses of hidden services. Addresses: Espressif's eagle.rom.addr.v6.ld.

    .section .rom, "ax"
    .set next, 0x40000000

    .macro rom address, function
    .rept (\address - next) / 4
    call0 unimplemented
    .byte 0
    .endr
    j \function
    .byte 0
    .set next, \address + 4
    .endm

    # Vectors: VECBASE is 0x40000000 from reset until the SDK moves it.
    rom 0x40000010, debug_vector
    rom 0x40000030, user_vector
    rom 0x40000050, user_vector
    rom 0x40000070, double_vector
    rom 0x40000080, reset_vector

    rom 0x40000454, thunk_set_exception_handler
    rom 0x4000048c, interrupt_handler
    rom 0x4000056c, set_intlevel
    rom 0x40000598, c_handler
    rom 0x400005f0, thunk_srand
    rom 0x40000600, thunk_rand
    rom 0x40000650, __muldi3
    rom 0x400006c4, memcpy

    rom 0x40000dc0, thunk_set_idle_cb
    rom 0x40000dd0, thunk_task
    rom 0x40000e04, rom_run
    rom 0x40000e24, rom_post
    rom 0x40000f74, intr_lock
    rom 0x40000f80, intr_unlock
    rom 0x40000f88, thunk_isr_attach
    rom 0x40000f98, thunk_isr_mask
    rom 0x40000fa8, thunk_isr_unmask

    rom 0x400018a4, memset
    rom 0x400018b4, memcpy
    rom 0x400018c4, memmove
    rom 0x400018d4, memcmp
    rom 0x40001da0, thunk_write_char
    rom 0x40001dcc, thunk_uart_putc1
    rom 0x40001f00, thunk_vprintf
    rom 0x4000242c, thunk_install_putc1
    rom 0x40002438, thunk_install_uart_printf
    rom 0x400024cc, printf
    rom 0x40002544, printf
    rom 0x400025e0, thunk_reset_reason
    rom 0x4000264c, thunk_software_reset
    rom 0x40002a88, rom_strcpy
    rom 0x40002a98, rom_strncpy
    rom 0x40002aa8, rom_strcmp
    rom 0x40002ab8, rom_strncmp
    rom 0x40002ac8, rom_strlen
    rom 0x40002ad8, rom_strstr
    rom 0x40002ae8, rom_bzero
    rom 0x40002bcc, rom_uart_rx_block
    rom 0x40002be8, thunk_uart_tx
    rom 0x40002ecc, rom_delay_us
    rom 0x40002f04, thunk_update_cpu_frequency
    rom 0x40002f0c, thunk_get_cpu_frequency
    rom 0x40002f34, thunk_wdt_get_mode
    rom 0x40002fa0, thunk_wdt_enable
    rom 0x400030f0, thunk_wdt_disable
    rom 0x40003158, thunk_wdt_restore
    rom 0x40003170, thunk_wdt_init

    rom 0x4000383c, nothing
    rom 0x400038a4, nothing
    rom 0x400039d8, nothing
    rom 0x40003a14, nothing
    rom 0x40003b30, thunk_uart_tx
    rom 0x40003b64, rom_uart_rx_block
    rom 0x40003b8c, rom_uart_rx

    rom 0x400043c8, thunk_spi_read_status
    rom 0x40004400, nothing
    rom 0x4000443c, nothing
    rom 0x4000448c, nothing
    rom 0x400044c0, nothing
    rom 0x40004644, nothing
    rom 0x40004678, thunk_cache_enable
    rom 0x400047f0, thunk_cache_disable
    rom 0x40004878, nothing
    rom 0x400048a8, nothing
    rom 0x400048ec, nothing
    rom 0x40004984, thunk_spi_erase_chip
    rom 0x400049b4, thunk_spi_erase_block
    rom 0x40004a00, thunk_spi_erase_sector
    rom 0x40004a4c, thunk_spi_write
    rom 0x40004b1c, thunk_spi_read
    rom 0x40004b44, thunk_spi_erase_area
    rom 0x40004c2c, thunk_spi_param_cfg

    rom 0x40004cd0, thunk_gpio_output_set
    rom 0x40004cf0, thunk_gpio_input_get

    rom 0x4000bd28, thunk_set_interrupt_handler_arg
    rom 0x4000bd70, thunk_set_interrupt_handler
    rom 0x4000bd84, thunk_ints_on
    rom 0x4000bda4, thunk_ints_off
    rom 0x4000bdc8, rom_strcmp
    rom 0x4000bec8, rom_strcpy
    rom 0x4000bf4c, rom_strlen
    rom 0x4000bfa8, rom_strncmp
    rom 0x4000c0a0, rom_strncpy
    rom 0x4000c180, __addsf3
    rom 0x4000c268, __subsf3
    rom 0x4000c3dc, __mulsf3
    rom 0x4000c4c4, __fixunssfsi
    rom 0x4000c538, __adddf3
    rom 0x4000c688, __subdf3
    rom 0x4000c8f0, __muldf3
    rom 0x4000cb94, __divdf3
    rom 0x4000ccb8, __fixdfsi
    rom 0x4000cd00, __fixunsdfsi
    rom 0x4000cd5c, __truncdfsf2
    rom 0x4000cdfc, __extendsfdf2
    rom 0x4000ce60, __divdi3
    rom 0x4000d310, __udivdi3
    rom 0x4000d770, __umoddi3
    rom 0x4000dbf8, nothing
    rom 0x4000dbfc, set_intlevel
    rom 0x4000dc18, set_min_intlevel
    rom 0x4000dc44, unhandled
    rom 0x4000dc54, leave_exception
    rom 0x4000dc88, __divsi3
    rom 0x4000dcf0, rom_umulsidi3
    rom 0x4000dd38, get_ccount
    rom 0x4000dd58, get_interrupt
    rom 0x4000dd60, set_intclear
    rom 0x4000de84, rom_bzero
    rom 0x4000dea8, memcmp
    rom 0x4000df48, memcpy
    rom 0x4000e04c, memmove
    rom 0x4000e190, memset
    rom 0x4000e1e0, rom_strstr
    rom 0x4000e21c, __udivsi3
    rom 0x4000e268, __umodsi3
    rom 0x4000e2a4, __floatunsisf
    rom 0x4000e2ac, __floatsisf
    rom 0x4000e2e8, __floatunsidf
    rom 0x4000e2f0, __floatsidf

    # Behind the ROM: hidden services (spore_hidden::at).
    rom {user_exception}, user_exception
    rom {kernel_exception}, user_exception
    rom {double_exception}, double_vector
    rom {micros}, thunk_micros
    rom {alarm}, thunk_alarm
    rom {exit}, thunk_exit
    rom {violation}, thunk_violation
    rom {file_read}, thunk_file_read
    rom {file_write}, thunk_file_write
    rom {board}, thunk_board
    rom {random}, thunk_random
    rom {busy_ticks}, thunk_busy_ticks
    rom {cache_enabled}, thunk_cache_enabled
    rom {bite}, thunk_bite
    rom {flash_size}, thunk_flash_size
    rom {adc}, thunk_adc
    rom {sleep}, thunk_sleep
