#include "formats/npy.h"

#include <cctype>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace outsize {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::uint64_t kMaxHeaderBytes = 1 << 20;

struct Row {
  DType dtype;
  const char* descr;
};
constexpr Row kRows[] = {{DType::f64, "<f8"}, {DType::f32, "<f4"}, {DType::f16, "<f2"},
                         {DType::i64, "<i8"}, {DType::i32, "<i4"}, {DType::i16, "<i2"},
                         {DType::u8, "|u1"}};

const char* descr_of(DType dtype) {
  for (const Row& row : kRows)
    if (row.dtype == dtype) return row.descr;
  fail(ErrorKind::InvalidArgument, "[npy] cannot hold {}; try f32", name_of(dtype));
}

// A Python tuple: "()", "(3,)", "(3, 4)".
std::string tuple_of(const Shape& shape) {
  std::string text = "(";
  for (int i = 0; i < shape.ndim(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.ndim() == 1 ? ",)" : ")");
}

// Magic, version 1.0, header length and the header, padded so that the data start at a multiple
// of 64.
std::string head_of(DType dtype, const Shape& shape) {
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}",
                                       descr_of(dtype), tuple_of(shape));
  const std::size_t before = kMagic.size() + 4;
  dictionary.resize((before + dictionary.size() + 1 + 63) / 64 * 64 - before - 1, ' ');
  dictionary += '\n';
  const auto length = static_cast<std::uint16_t>(dictionary.size());
  std::string head(kMagic);
  head += '\1';
  head += '\0';
  head.append(reinterpret_cast<const char*>(&length), sizeof length);
  return head + dictionary;
}

// The text after "'key':" with blanks skipped; Corruption when the key is absent.
std::string_view value_of(std::string_view dictionary, const std::string& key,
                          const std::string& path) {
  const std::size_t place = dictionary.find(fmt::format("'{}'", key));
  const std::size_t colon =
      place == std::string_view::npos ? place : dictionary.find(':', place + key.size() + 2);
  const std::size_t value =
      colon == std::string_view::npos ? colon : dictionary.find_first_not_of(' ', colon + 1);
  if (value == std::string_view::npos)
    fail(ErrorKind::Corruption, "[npy] {}: header without '{}'", path, key);
  return dictionary.substr(value);
}

DType parse_descr(std::string_view value, const std::string& path) {
  for (const Row& row : kRows)
    if (value.starts_with(fmt::format("'{}'", row.descr))) return row.dtype;
  fail(ErrorKind::Unsupported,
       "[npy] {}: unknown element type {}; expected one of <f8 <f4 <f2 <i8 <i4 <i2 |u1", path,
       value.substr(0, 8));
}

Shape parse_shape(std::string_view value, const std::string& path) {
  const auto refuse = [&] {
    fail(ErrorKind::Corruption, "[npy] {}: invalid shape {}", path, value.substr(0, 60));
  };
  if (value.empty() || value[0] != '(') refuse();
  std::vector<std::int64_t> dims;
  std::int64_t product = 1;
  std::size_t i = 1;
  while (true) {
    while (i < value.size() && (value[i] == ' ' || value[i] == ',')) ++i;
    if (i < value.size() && value[i] == ')') break;
    if (i == value.size() || !std::isdigit(static_cast<unsigned char>(value[i]))) refuse();
    std::int64_t size = 0;
    for (; i < value.size() && std::isdigit(static_cast<unsigned char>(value[i])); ++i)
      if (__builtin_mul_overflow(size, 10, &size) ||
          __builtin_add_overflow(size, value[i] - '0', &size))
        refuse();
    if (size > 0 && __builtin_mul_overflow(product, size, &product)) refuse();
    dims.push_back(size);
    if (dims.size() > Shape::kMaxDims)
      fail(ErrorKind::Unsupported, "[npy] {}: more than {} axes", path, Shape::kMaxDims);
  }
  return Shape(dims);
}

}  // namespace

NpyWriter::NpyWriter(const std::string& path, DType dtype, const Shape& shape)
    : file_(path), element_bytes_(size_of(dtype)), left_(shape.numel()) {
  const std::string head = head_of(dtype, shape);
  file_.write(head.data(), head.size());
}

void NpyWriter::append(const void* elements, std::int64_t count) {
  if (count < 0 || count > left_)
    fail(ErrorKind::InvalidArgument, "[npy] {}: {} more elements; expected at most {}",
         file_.path(), count, left_);
  file_.write(elements, static_cast<std::size_t>(count * element_bytes_));
  left_ -= count;
}

void NpyWriter::finish() {
  if (left_ > 0)
    fail(ErrorKind::InvalidArgument, "[npy] {}: {} elements are missing", file_.path(), left_);
  file_.commit();
}

NpyArray read_npy(const std::string& path) {
  const File file = File::open(path);
  char start[10];
  std::memset(start, 0, sizeof start);
  if (file.size() >= sizeof start) file.read_at(0, start, sizeof start);
  if (std::string_view(start, kMagic.size()) != kMagic)
    fail(ErrorKind::Corruption, "[npy] {}: not an NPY file", path);
  const bool is_version_1 = start[6] == 1;
  if (!is_version_1 && start[6] != 2 && start[6] != 3)
    fail(ErrorKind::Unsupported, "[npy] {}: format version {}; expected 1 to 3", path,
         static_cast<int>(start[6]));
  std::uint32_t length = 0;
  file.read_at(8, &length, is_version_1 ? 2 : 4);
  const std::uint64_t head_bytes = is_version_1 ? 10 : 12;
  if (length > kMaxHeaderBytes || length > file.size() - head_bytes)
    fail(ErrorKind::Corruption, "[npy] {}: header of {} bytes does not fit", path, length);
  std::string dictionary(length, '\0');
  file.read_at(head_bytes, dictionary.data(), length);

  NpyArray array;
  array.dtype = parse_descr(value_of(dictionary, "descr", path), path);
  if (!value_of(dictionary, "fortran_order", path).starts_with("False"))
    fail(ErrorKind::Unsupported, "[npy] {}: Fortran order; expected C order", path);
  array.shape = parse_shape(value_of(dictionary, "shape", path), path);
  std::int64_t bytes = 0;
  const std::uint64_t data_bytes = file.size() - head_bytes - length;
  if (__builtin_mul_overflow(array.shape.numel(), size_of(array.dtype), &bytes) ||
      static_cast<std::uint64_t>(bytes) != data_bytes)
    fail(ErrorKind::Corruption, "[npy] {}: {} bytes of data do not fit shape {}", path, data_bytes,
         to_string(array.shape));
  array.bytes.resize(data_bytes);
  file.read_at(head_bytes + length, array.bytes.data(), data_bytes);
  return array;
}

}  // namespace outsize
