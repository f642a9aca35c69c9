// The table of operators: one rule each, with versions in order and attributes of known kinds.

#include "frontends/onnx/import/OpTable.h"

#include "llvm/ADT/StringRef.h"

#include <gtest/gtest.h>

#include <set>

using namespace moec;

TEST(OpTableTest, EveryRuleIsFoundByItsNameAlone) {
  OpTable table;
  std::set<std::pair<std::string_view, std::string_view>> names;
  for (const OpRule *rule : table.all()) {
    EXPECT_EQ(table.find(rule->domain, rule->name), rule);
    EXPECT_TRUE(names.emplace(rule->domain, rule->name).second) << rule->name;
  }
  EXPECT_EQ(table.find("", "NoSuchOperator"), nullptr);
  EXPECT_EQ(table.find("com.microsoft", "Add"), nullptr);
}

TEST(OpTableTest, VersionsAscendAndTakeWhatCanBe) {
  for (const OpRule *rule : OpTable().all()) {
    int64_t last = 0;
    ASSERT_FALSE(rule->versions.empty()) << rule->name;
    for (const OpVersion &version : rule->versions) {
      EXPECT_GT(version.since, last) << rule->name;
      EXPECT_LE(version.leastInputs, version.mostInputs) << rule->name;
      EXPECT_LE(version.leastOutputs, version.mostOutputs) << rule->name;
      last = version.since;
    }
  }
}

TEST(OpTableTest, EveryAttributeHasAKind) {
  for (const OpRule *rule : OpTable().all())
    for (const OpVersion &version : rule->versions) {
      llvm::SmallVector<llvm::StringRef> entries;
      llvm::StringRef(version.attributes).split(entries, ' ', -1, /*KeepEmpty=*/false);
      for (llvm::StringRef entry : entries) {
        llvm::StringRef kind = entry.split(':').second;
        const bool isKnown = kind == "i" || kind == "f" || kind == "s" || kind == "t" ||
                             kind == "g" || kind == "is" || kind == "fs" || kind == "ss" ||
                             kind == "sparse";
        EXPECT_TRUE(isKnown) << rule->name << ": " << entry.str();
      }
    }
}
