#include "fbclock_page.h"

#include <stdatomic.h>
#include <stddef.h>

/* CRC-32C (Castagnoli), bit by bit: 24 bytes, ten times a second. */
static uint32_t crc32c(uint32_t crc, uint64_t word)
{
    for (int i = 0; i < 64; i++) {
        crc = crc >> 1 ^ (0x82F63B78U & (0U - ((crc ^ (uint32_t)(word >> i)) & 1U)));
    }
    return crc;
}

/* Every word but the first, which says whether the others can be used. */
static void store_words(_Atomic uint64_t *page, const uint64_t *words, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        atomic_store_explicit(&page[i], words[i], memory_order_release);
    }
}

void fbclock_v1_write(uint64_t *page, const uint64_t words[FBCLOCK_V1_WORDS])
{
    /* Over the ingress time, the bound and its growth, the last two as words of their own. */
    uint32_t crc = crc32c(crc32c(crc32c(UINT32_MAX, words[1]), (uint32_t)words[2]), words[2] >> 32);

    store_words((_Atomic uint64_t *)page, words, FBCLOCK_V1_WORDS);
    atomic_store_explicit((_Atomic uint64_t *)page, (uint64_t)(crc ^ UINT32_MAX), memory_order_release);
}

void fbclock_v2_write(uint64_t *page, const uint64_t words[FBCLOCK_V2_SECTION_WORDS])
{
    _Atomic uint64_t *seq = (_Atomic uint64_t *)page;
    uint64_t even = (atomic_load_explicit(seq, memory_order_relaxed) & ~(uint64_t)1) + 2;

    atomic_store_explicit(seq, even - 1, memory_order_relaxed);
    store_words(seq, words, FBCLOCK_V2_SECTION_WORDS);
    atomic_store_explicit(seq, even == 0 ? 2 : even, memory_order_release); /* 0 would be: uninitialised */
}
