#include "config/yaml_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/expect_error.h"

namespace outsize {
namespace {

using testing::HasSubstr;

std::string refusal(const std::string& text) {
  return message_of(ErrorKind::InvalidArgument, [&] { parse_yaml(text, "x.yaml"); });
}

TEST(YamlTree, KeepsOrderAndPositions) {
  const YamlNode root = parse_yaml("b: 1\na:\n  - x\n  - {c: 'q'}\nn:\n", "x.yaml");
  ASSERT_EQ(root.kind, YamlNode::Kind::map);
  ASSERT_EQ(root.entries.size(), 3u);
  EXPECT_EQ(root.entries[0].key, "b");
  EXPECT_FALSE(root.entries[0].value.quoted);
  const YamlNode& list = root.entries[1].value;
  ASSERT_EQ(list.items.size(), 2u);
  EXPECT_EQ(list.items[0].line, 3);
  EXPECT_EQ(list.items[0].column, 5);
  ASSERT_EQ(list.items[1].entries.size(), 1u);
  EXPECT_TRUE(list.items[1].entries[0].value.quoted);
  EXPECT_EQ(root.entries[2].value.kind, YamlNode::Kind::null);
}

TEST(YamlTree, EmptyTextIsNull) {
  EXPECT_EQ(parse_yaml("", "x").kind, YamlNode::Kind::null);
  EXPECT_EQ(parse_yaml("# only a remark\n", "x").kind, YamlNode::Kind::null);
}

TEST(YamlTree, ExpandsAliases) {
  const YamlNode root = parse_yaml("a: &x [1, 2]\nb: *x\n", "x.yaml");
  ASSERT_EQ(root.entries.size(), 2u);
  EXPECT_EQ(root.entries[1].value.items.size(), 2u);
}

TEST(YamlTree, RefusesWithPosition) {
  EXPECT_THAT(refusal("a: 1\nb: 2\na: 3\n"),
              AllOf(HasSubstr("[x.yaml:3:1]"), HasSubstr("'a' is given twice"),
                    HasSubstr("the first is at line 1")));
  EXPECT_THAT(refusal("a: [1, 2\n"), HasSubstr("[x.yaml:"));
  EXPECT_THAT(refusal("a: *nowhere\n"), HasSubstr("[x.yaml:1:"));
  EXPECT_THAT(refusal("a: &x [*x]\n"), HasSubstr("alias inside"));
  EXPECT_THAT(refusal("a: 1\n---\nb: 2\n"), HasSubstr("a second document"));
  EXPECT_THAT(refusal("? [1]\n: 2\n"), HasSubstr("as a key"));
  EXPECT_THAT(refusal("a: !!python/object 1\n"), HasSubstr("the tag"));
  EXPECT_THAT(refusal(std::string("a: 1\nb: \xff\n")), HasSubstr("[x.yaml:2:4] not text"));
  EXPECT_THAT(refusal(std::string("a\0b", 3)), HasSubstr("0x00"));
}

TEST(YamlTree, BoundsSizeDepthAndNodes) {
  EXPECT_THAT(refusal(std::string(kMaxYamlBytes + 1, ' ')), HasSubstr("too large"));
  for (const char* opening : {"[", "- ", "{a: ", "? "}) {
    std::string deep;
    for (int i = 0; i < 100000; ++i) deep += opening;
    refusal(deep);
  }
  EXPECT_THAT(refusal("a: " + std::string(40, '[') + std::string(40, ']')),
              HasSubstr("nesting deeper"));
  std::string list = "a: [";
  for (int i = 0; i <= kMaxYamlNodes; ++i) list += "1,";
  EXPECT_THAT(refusal(list + "]"), HasSubstr("more than"));
}

TEST(YamlTree, RefusesAliasBombs) {
  std::string bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += fmt::format("a{}: &a{} [", i, i);
    for (int j = 0; j < 10; ++j) bomb += fmt::format("*a{},", i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(refusal(bomb), HasSubstr("aliases expanded"));
  std::string deep = "a0: &a0 [1]\n";
  for (int i = 1; i < 100; ++i) deep += fmt::format("a{}: &a{} [*a{}]\n", i, i, i - 1);
  EXPECT_THAT(refusal(deep), HasSubstr("nesting deeper"));
}

}  // namespace
}  // namespace outsize
