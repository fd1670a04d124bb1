/* Coverage of code built with `gcc -fsanitize-coverage=trace-pc,trace-cmp`, in the form that libFuzzer takes from clang:
 * an array of 8-bit counters, and for each the address it stands for. Addresses share counters by a hash. */
#include <stdint.h>

enum { COUNTERS = 1 << 16 };

static uint8_t counters[COUNTERS];
static uintptr_t addresses[2 * COUNTERS];                   /* pairs of address and flags */

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
void __sanitizer_cov_pcs_init(const uintptr_t *start, const uintptr_t *stop);

void __sanitizer_cov_trace_pc(void) {
    uint64_t hash = (uint64_t)(uintptr_t)__builtin_return_address(0) * 0x9E3779B97F4A7C15u;
    counters[hash >> 48]++;
}

void coverage_begin(void) {
    for (uintptr_t i = 0; i < COUNTERS; i++)
        addresses[2 * i] = i + 1;
    __sanitizer_cov_8bit_counters_init(counters, counters + COUNTERS);
    __sanitizer_cov_pcs_init(addresses, addresses + 2 * COUNTERS);
}
