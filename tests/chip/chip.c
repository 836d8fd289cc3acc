/* Runs an exported C header of int8 on a Cortex-M0 without an operating system, for scripts/chip_check.sh: finds the class of each of
   the images that the linker put behind `images`, prints a line for each, and then how many bytes of stack that took. HEADER is the
   path of the header, PREFIX what its names begin with. It prints by semihosting (Arm, "Semihosting for AArch32 and AArch64"). */
#include <stdint.h>

#include HEADER

#define JOIN2(a, b) a##_##b
#define JOIN(a, b) JOIN2(a, b)
#define NAME(suffix) JOIN(PREFIX, suffix)

enum { sys_write0 = 0x04, sys_exit = 0x18, application_exit = 0x20026, painted = 0xA5 };

/* Of chip.ld: the ends of the images and of what is left of the RAM. */
extern const unsigned char images[], images_end[];
extern unsigned char stack_limit[], stack_top[];

static void semihosting(uint32_t operation, uintptr_t parameter) {
  register uint32_t r0 __asm__("r0") = operation;
  register uintptr_t r1 __asm__("r1") = parameter;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

static void print_line(unsigned number) {
  char text[12];
  char *begin = text + sizeof text;
  *--begin = '\0';
  *--begin = '\n';
  do {
    *--begin = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  semihosting(sys_write0, (uintptr_t)begin);
}

static void paint_stack(void) {
  volatile unsigned char *here = __builtin_frame_address(0);
  for (volatile unsigned char *byte = stack_limit; byte < here - 64; ++byte) *byte = painted;
}

static unsigned deepest_stack(void) {
  const volatile unsigned char *byte = stack_limit;
  while (byte < stack_top && *byte == painted) ++byte;
  return (unsigned)(stack_top - byte);
}

/* There is nothing to copy or to clear: the programs of this file have no variables but those on the stack. */
void start(void) {
  paint_stack();
  for (const unsigned char *image = images; image < images_end; image += NAME(inputs)) {
    print_line((unsigned)NAME(class_of_bytes)(image));
  }
  print_line(deepest_stack());
  semihosting(sys_exit, application_exit);
  for (;;) {
  }
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {(uintptr_t)stack_top, (uintptr_t)start};
