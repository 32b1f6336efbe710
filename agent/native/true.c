/* The smallest program there is: ends with status 0 and touches nothing. Measures what starting a process costs. */
__attribute__((noreturn, used)) void _start(void)
{
    __asm__ volatile("syscall" : : "a"(60L), "D"(0L) : "rcx", "r11", "memory");
    __builtin_unreachable();
}
