// A module for clang-tidy that lets all checks walk over code of ours alone. Without it they walk over all
// that LibTorch declares, too, which takes most of the time and finds nothing that is reported; from version
// 21 on clang-tidy does it by itself.
#include <clang-tidy/ClangTidyCheck.h>
#include <clang-tidy/ClangTidyModule.h>
#include <clang-tidy/ClangTidyModuleRegistry.h>
#include <clang/AST/ASTContext.h>

#include <vector>

namespace {

using clang::tidy::ClangTidyCheck;
using clang::tidy::ClangTidyModule;
namespace matchers = clang::ast_matchers;

class OwnCode : public ClangTidyCheck {
 public:
  using ClangTidyCheck::ClangTidyCheck;

  void registerMatchers(matchers::MatchFinder* finder) override {
    finder->addMatcher(matchers::translationUnitDecl().bind("unit"), this);
  }

  // What is below the translation unit is visited after it.
  void check(const matchers::MatchFinder::MatchResult& result) override {
    const clang::SourceManager& sources = *result.SourceManager;
    std::vector<clang::Decl*> ours;  // nothing of a precompiled header is, so none of it has to be loaded
    for (clang::Decl* declared : result.Context->getTranslationUnitDecl()->noload_decls()) {
      if (!sources.isInSystemHeader(sources.getExpansionLoc(declared->getLocation())))
        ours.push_back(declared);
    }
    result.Context->setTraversalScope(ours);
  }
};

class Module : public ClangTidyModule {
 public:
  void addCheckFactories(clang::tidy::ClangTidyCheckFactories& factories) override {
    factories.registerCheck<OwnCode>("handgrad-own-code");
  }
};

const clang::tidy::ClangTidyModuleRegistry::Add<Module> added("handgrad",
                                                              "walks over the code of handgrad alone");

}  // namespace
