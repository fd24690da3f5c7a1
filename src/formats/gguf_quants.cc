#include "formats/gguf_quants.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/dtype.h"
#include "core/error.h"
#include "core/half.h"
#include "formats/convert.h"

namespace outsize {
namespace {

// Types that cannot be decoded are listed too: a file may hold tensors nobody asks for.
constexpr GgmlTypeInfo kTypes[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},
    {3, "Q4_1", 32, 20},      {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},
    {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 40},      {10, "Q2_K", 256, 84},
    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66},
    {17, "IQ2_XS", 256, 74},  {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},
    {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},  {22, "IQ2_S", 256, 82},
    {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},
    {29, "IQ1_M", 256, 56},   {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},
    {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
};

using Bytes = const std::uint8_t*;

float half_at(Bytes bytes) {
  f16 half;
  std::memcpy(&half, bytes, sizeof half);
  return to_f32(half);
}

// f16 scale, then 16 bytes: element j in the low nibble of byte j, element j + 16 in the high one.
void decode_q4_0(Bytes block, float* y) {
  const float d = half_at(block);
  for (int j = 0; j < 16; ++j) {
    const int q = block[2 + j];
    y[j] = static_cast<float>((q & 15) - 8) * d;
    y[j + 16] = static_cast<float>((q >> 4) - 8) * d;
  }
}

// As Q4_0 with an f16 minimum after the scale.
void decode_q4_1(Bytes block, float* y) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  for (int j = 0; j < 16; ++j) {
    const int q = block[4 + j];
    y[j] = static_cast<float>(q & 15) * d + m;
    y[j + 16] = static_cast<float>(q >> 4) * d + m;
  }
}

// Element j of 32 with its fifth bit from bit j of `high`.
int five_bits(Bytes low, std::uint32_t high, int j) {
  const int nibble = j < 16 ? low[j] & 15 : low[j - 16] >> 4;
  return nibble | static_cast<int>((high >> j) & 1u) << 4;
}

// f16 scale, u32 of fifth bits, 16 bytes of nibbles.
void decode_q5_0(Bytes block, float* y) {
  const float d = half_at(block);
  std::uint32_t high;
  std::memcpy(&high, block + 2, sizeof high);
  for (int j = 0; j < 32; ++j) y[j] = static_cast<float>(five_bits(block + 6, high, j) - 16) * d;
}

// f16 scale, f16 minimum, u32 of fifth bits, 16 bytes of nibbles.
void decode_q5_1(Bytes block, float* y) {
  const float d = half_at(block);
  const float m = half_at(block + 2);
  std::uint32_t high;
  std::memcpy(&high, block + 4, sizeof high);
  for (int j = 0; j < 32; ++j) y[j] = static_cast<float>(five_bits(block + 8, high, j)) * d + m;
}

// f16 scale, 32 signed bytes.
void decode_q8_0(Bytes block, float* y) {
  const float d = half_at(block);
  for (int j = 0; j < 32; ++j)
    y[j] = static_cast<float>(static_cast<std::int8_t>(block[2 + j])) * d;
}

// 16 bytes (low nibble scale, high nibble minimum of 16 elements each), 64 bytes of 2-bit values,
// f16 super-scale, f16 super-minimum. Within each half (128 elements, 32 bytes) bit pair s of byte
// l is element 32·s + l.
void decode_q2_k(Bytes block, float* y) {
  Bytes scales = block;
  Bytes q = block + 16;
  const float d = half_at(block + 80);
  const float min = half_at(block + 82);
  for (int i = 0; i < 256; ++i) {
    const int scale = scales[i / 16];
    const int value = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    y[i] = d * static_cast<float>(scale & 15) * static_cast<float>(value) -
           min * static_cast<float>(scale >> 4);
  }
}

// 32 bytes of third bits (bit s of byte l: element 32·s + l), 64 bytes of 2-bit values as in Q2_K,
// 12 bytes of sixteen 6-bit scales (offset 32), f16 super-scale. A cleared third bit subtracts 4.
void decode_q3_k(Bytes block, float* y) {
  Bytes high = block;
  Bytes q = block + 32;
  Bytes packed = block + 96;
  const float d = half_at(block + 108);
  std::array<float, 16> scales;
  for (int s = 0; s < 16; ++s) {
    const int low = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4;
    const int top = packed[8 + s % 4] >> (s / 4 * 2) & 3;
    scales[static_cast<std::size_t>(s)] = d * static_cast<float>((low | top << 4) - 32);
  }
  for (int i = 0; i < 256; ++i) {
    const int low = q[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    const int value = low - ((high[i % 32] >> (i / 32) & 1) ? 0 : 4);
    y[i] = scales[static_cast<std::size_t>(i / 16)] * static_cast<float>(value);
  }
}

struct ScaleMin {
  int scale;
  int min;
};

// Pair j of eight 6-bit (scale, minimum) pairs in 12 bytes.
ScaleMin scale_min_at(Bytes packed, int j) {
  if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
  return {(packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4, (packed[j + 4] >> 4) | (packed[j] >> 6)
                                                                                       << 4};
}

// f16 super-scale, f16 super-minimum, 12 bytes of pairs, 128 bytes: of every 32 bytes the low
// nibbles are 32 elements and the high nibbles the next 32.
void decode_q4_k(Bytes block, float* y) {
  const float d = half_at(block);
  const float min = half_at(block + 2);
  for (int j = 0; j < 8; ++j) {
    const ScaleMin pair = scale_min_at(block + 4, j);
    const float scale = d * static_cast<float>(pair.scale);
    const float offset = min * static_cast<float>(pair.min);
    Bytes q = block + 16 + j / 2 * 32;
    for (int l = 0; l < 32; ++l)
      y[32 * j + l] = scale * static_cast<float>(j % 2 ? q[l] >> 4 : q[l] & 15) - offset;
  }
}

// As Q4_K with 32 bytes of fifth bits (bit j of byte l: element 32·j + l) before the nibbles.
void decode_q5_k(Bytes block, float* y) {
  const float d = half_at(block);
  const float min = half_at(block + 2);
  Bytes high = block + 16;
  for (int j = 0; j < 8; ++j) {
    const ScaleMin pair = scale_min_at(block + 4, j);
    const float scale = d * static_cast<float>(pair.scale);
    const float offset = min * static_cast<float>(pair.min);
    Bytes q = block + 48 + j / 2 * 32;
    for (int l = 0; l < 32; ++l) {
      const int value = (j % 2 ? q[l] >> 4 : q[l] & 15) | (high[l] >> j & 1) << 4;
      y[32 * j + l] = scale * static_cast<float>(value) - offset;
    }
  }
}

// 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, f16 super-scale. Within
// each half (128 elements): element 32·s + l has its nibble in byte l + 32·(s mod 2), low for s <
// 2, and its bit pair s in byte l; values are offset by 32.
void decode_q6_k(Bytes block, float* y) {
  const float d = half_at(block + 208);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128;
    const int s = i % 128 / 32;
    const int l = i % 32;
    const int nibble = block[64 * half + 32 * (s % 2) + l] >> (s < 2 ? 0 : 4) & 15;
    const int pair = block[128 + 32 * half + l] >> (2 * s) & 3;
    const float scale = d * static_cast<float>(static_cast<std::int8_t>(block[192 + i / 16]));
    y[i] = scale * static_cast<float>((nibble | pair << 4) - 32);
  }
}

using Decoder = void (*)(Bytes block, float* y);

Decoder decoder_of(std::uint32_t id) {
  switch (static_cast<GgmlType>(id)) {
    case GgmlType::q4_0:
      return decode_q4_0;
    case GgmlType::q4_1:
      return decode_q4_1;
    case GgmlType::q5_0:
      return decode_q5_0;
    case GgmlType::q5_1:
      return decode_q5_1;
    case GgmlType::q8_0:
      return decode_q8_0;
    case GgmlType::q2_k:
      return decode_q2_k;
    case GgmlType::q3_k:
      return decode_q3_k;
    case GgmlType::q4_k:
      return decode_q4_k;
    case GgmlType::q5_k:
      return decode_q5_k;
    case GgmlType::q6_k:
      return decode_q6_k;
    default:
      return nullptr;
  }
}

}  // namespace

const GgmlTypeInfo* find_ggml_type(std::uint32_t id) {
  for (const GgmlTypeInfo& type : kTypes)
    if (type.id == id) return &type;
  return nullptr;
}

const GgmlTypeInfo& info_of(GgmlType type) {
  const GgmlTypeInfo* info = find_ggml_type(static_cast<std::uint32_t>(type));
  ensure(info != nullptr, "[gguf] type {} is not in the table", static_cast<std::uint32_t>(type));
  return *info;
}

bool can_dequantise(std::uint32_t id) {
  const auto type = static_cast<GgmlType>(id);
  return type == GgmlType::f32 || type == GgmlType::f16 || type == GgmlType::bf16 ||
         type == GgmlType::f64 || decoder_of(id) != nullptr;
}

void dequantise(std::uint32_t id, const void* source, std::int64_t blocks, float* destination) {
  switch (static_cast<GgmlType>(id)) {
    case GgmlType::f32:
      return convert_to_f32(DType::f32, source, blocks, destination);
    case GgmlType::f16:
      return convert_to_f32(DType::f16, source, blocks, destination);
    case GgmlType::bf16:
      return convert_to_f32(DType::bf16, source, blocks, destination);
    case GgmlType::f64:
      return convert_to_f32(DType::f64, source, blocks, destination);
    default:
      break;
  }
  const Decoder decode = decoder_of(id);
  const GgmlTypeInfo* info = find_ggml_type(id);
  if (decode == nullptr || info == nullptr)
    fail(ErrorKind::Unsupported, "[gguf] no decoder for tensors of type {}",
         info != nullptr ? std::string(info->name) : std::to_string(id));
  Bytes block = static_cast<Bytes>(source);
  for (std::int64_t i = 0; i < blocks; ++i)
    decode(block + i * info->block_bytes, destination + i * info->block_elements);
}

bool quantise_q8_0(const float* source, std::int64_t blocks, void* destination) {
  std::uint8_t* out = static_cast<std::uint8_t*>(destination);
  for (std::int64_t i = 0; i < blocks; ++i, source += 32, out += 34) {
    float amax = 0.0f;
    bool finite = true;
    for (int j = 0; j < 32; ++j) {
      finite = finite && std::isfinite(source[j]);
      amax = std::max(amax, std::abs(source[j]));
    }
    const float d = amax / 127.0f;
    const f16 scale = to_f16(d);
    if (!finite || std::isinf(to_f32(scale))) return false;
    // The inverse of a subnormal scale is infinite; such a block decodes to zeros whatever is
    // stored.
    const float inverse = d > 0.0f && std::isfinite(1.0f / d) ? 1.0f / d : 0.0f;
    std::memcpy(out, &scale, sizeof scale);
    for (int j = 0; j < 32; ++j)
      out[2 + j] =
          static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(source[j] * inverse)));
  }
  return true;
}

}  // namespace outsize
