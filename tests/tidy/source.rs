//! Parses Rust source for the tidy tests, and finds its paths and `mod` declarations.

use proc_macro2::{Span, TokenStream, TokenTree};
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Item, ItemMod, Lit, Meta, Token, UseTree};

/// A path in the source, such as `crate::core::policy::Mode`. Each member of a `use` group is a
/// path.
#[derive(Debug)]
pub struct UsePath {
    pub line: usize,
    pub segments: Vec<String>,
    /// The number of inline modules that contain it.
    pub inline: usize,
}

/// A source file.
pub struct Source {
    file: syn::File,
}

/// The content of a file outside of `#[cfg(test)]`.
#[derive(Default)]
pub struct Product {
    /// All paths of two or more segments in imports, code, macros and attributes, and all names in
    /// `use` and `extern crate`.
    pub paths: Vec<UsePath>,
    /// The lines with `async` or `await`.
    pub asynchronous: Vec<usize>,
    inline: usize,
}

impl Source {
    /// # Panics
    /// Panics if the text is not valid Rust.
    #[track_caller]
    pub fn parse(name: &str, text: &str) -> Self {
        match syn::parse_file(text) {
            Ok(file) => Self { file },
            Err(error) => panic!("{name}:{}: {error}", line(error.span())),
        }
    }

    /// Returns the content outside of items that only tests compile.
    pub fn product(&self) -> Product {
        let mut product = Product::default();
        if !is_for_tests(&self.file.attrs) {
            product.visit_file(&self.file);
        }
        product
    }

    /// Returns the files to which `mod` declarations in the file at `path` may refer, including
    /// declarations in inline modules. `with_tests` includes modules that only tests compile.
    pub fn modules(&self, path: &Path, is_root: bool, with_tests: bool) -> Vec<PathBuf> {
        let parent = path.parent().unwrap();
        let own = match is_root {
            true => parent.to_owned(),
            false => parent.join(path.file_stem().unwrap()),
        };
        let mut files = Vec::new();
        declared(&self.file.items, parent, &own, with_tests, &mut files);
        files
    }
}

fn declared(
    items: &[Item],
    parent: &Path,
    here: &Path,
    with_tests: bool,
    files: &mut Vec<PathBuf>,
) {
    for item in items {
        let Item::Mod(module) = item else { continue };
        if !with_tests && is_for_tests(&module.attrs) {
            continue;
        }
        let name = module.ident.to_string();
        match (&module.content, explicit_path(&module.attrs)) {
            (Some((_, items)), _) => declared(items, parent, &here.join(name), with_tests, files),
            (None, Some(explicit)) => files.push(parent.join(explicit)),
            (None, None) => {
                files.push(here.join(format!("{name}.rs")));
                files.push(here.join(name).join("mod.rs"));
            }
        }
    }
}

/// Returns the value of `#[path = "…"]`.
fn explicit_path(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                Expr::Lit(literal) => match &literal.lit {
                    Lit::Str(text) => Some(text.value()),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        })
}

/// Returns whether only tests compile an item with these attributes.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let condition = attribute.path().is_ident("cfg");
        condition && attribute.parse_args().is_ok_and(|meta| needs_test(&meta))
    })
}

/// Returns whether a condition of `cfg` is false without `test`.
fn needs_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            let parse = syn::punctuated::Punctuated::<Meta, Token![,]>::parse_terminated;
            let Ok(members) = list.parse_args_with(parse) else {
                return false;
            };
            let mut members = members.iter();
            match () {
                () if list.path.is_ident("all") => members.any(needs_test),
                () if list.path.is_ident("any") => members.len() > 0 && members.all(needs_test),
                () => false,
            }
        }
        Meta::NameValue(_) => false,
    }
}

impl<'ast> Visit<'ast> for Product {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attributes: &[Attribute] = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            syn::ImplItem::Type(item) => &item.attrs,
            syn::ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let depth = usize::from(module.content.is_some());
        self.inline += depth;
        visit::visit_item_mod(self, module);
        self.inline -= depth;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.imported(&item.tree, &[]);
        visit::visit_item_use(self, item);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let name = match item.ident == "self" {
            true => vec!["crate".to_owned(), "*".to_owned()],
            false => vec![item.ident.to_string()],
        };
        self.add(item.ident.span(), name);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if let (true, Some(first)) = (segments.len() > 1, path.segments.first()) {
            self.add(first.ident.span(), segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(&call.tokens);
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(&list.tokens);
            self.quoted(&list.tokens);
        }
        visit::visit_attribute(self, attribute);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.is_asynchronous(signature.asyncness.as_ref());
        visit::visit_signature(self, signature);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.is_asynchronous(closure.asyncness.as_ref());
        visit::visit_expr_closure(self, closure);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.is_asynchronous(Some(&block.async_token));
        visit::visit_expr_async(self, block);
    }

    fn visit_expr_await(&mut self, expression: &'ast syn::ExprAwait) {
        self.asynchronous.push(line(expression.await_token.span));
        visit::visit_expr_await(self, expression);
    }
}

impl Product {
    fn add(&mut self, span: Span, segments: Vec<String>) {
        self.paths.push(UsePath {
            line: line(span),
            segments,
            inline: self.inline,
        });
    }

    fn is_asynchronous(&mut self, word: Option<&Token![async]>) {
        self.asynchronous.extend(word.map(|word| line(word.span)));
    }

    /// Adds the names in a `use` declaration, by the original name if it is renamed. This includes
    /// whole crates and modules, because the parts that are used are unknown.
    fn imported(&mut self, tree: &UseTree, prefix: &[String]) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => self.imported(&path.tree, &with(path.ident.to_string())),
            UseTree::Name(name) => self.named(&name.ident, prefix),
            UseTree::Rename(rename) => self.named(&rename.ident, prefix),
            UseTree::Glob(glob) => self.add(glob.star_token.span, with("*".to_owned())),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.imported(tree, prefix);
                }
            }
        }
    }

    fn named(&mut self, name: &proc_macro2::Ident, prefix: &[String]) {
        let mut segments = prefix.to_vec();
        if name != "self" || prefix.is_empty() {
            segments.push(name.to_string());
        }
        // An alias of the crate gives access to all modules.
        if segments == ["crate"] {
            segments.push("*".to_owned());
        }
        self.add(name.span(), segments);
    }

    /// Adds the paths in the tokens of a macro call, which have no syntax tree.
    fn tokens(&mut self, tokens: &TokenStream) {
        let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let mut at = 0;
        while let Some(tree) = trees.get(at) {
            match tree {
                TokenTree::Ident(_) => {
                    at = self.path_of_tokens(&trees, at, &[]);
                    continue;
                }
                TokenTree::Group(group) => self.tokens(&group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            at += 1;
        }
    }

    /// Reads a path that begins with the identifier at `at`, and returns the index of its end.
    fn path_of_tokens(&mut self, trees: &[TokenTree], mut at: usize, prefix: &[String]) -> usize {
        let start = trees.get(at).map_or_else(Span::call_site, TokenTree::span);
        let mut segments = prefix.to_vec();
        loop {
            match trees.get(at) {
                Some(TokenTree::Ident(word)) => {
                    let word = word.to_string();
                    if matches!(word.as_str(), "async" | "await") {
                        self.asynchronous.push(line(start));
                    }
                    segments.push(word);
                }
                Some(TokenTree::Punct(sign)) if sign.as_char() == '*' && at > 0 => {
                    segments.push("*".to_owned());
                }
                // A group of a `use` declaration in a macro call.
                Some(TokenTree::Group(group)) if segments.len() > prefix.len() => {
                    let members: Vec<TokenTree> = group.stream().into_iter().collect();
                    let mut member = 0;
                    while member < members.len() {
                        member = match members.get(member) {
                            Some(TokenTree::Ident(_)) => {
                                self.path_of_tokens(&members, member, &segments)
                            }
                            _ => member + 1,
                        };
                    }
                    return at + 1;
                }
                _ => break,
            }
            at += 1;
            if !(is_colon(trees, at) && is_colon(trees, at + 1)) {
                break;
            }
            at += 2;
        }
        if segments.len() > 1 {
            self.add(start, segments);
        }
        at
    }

    /// Adds the paths in string literals of an attribute, as in `#[serde(with = "…")]`.
    fn quoted(&mut self, tokens: &TokenStream) {
        for tree in tokens.clone() {
            match tree {
                TokenTree::Group(group) => self.quoted(&group.stream()),
                TokenTree::Literal(literal) => {
                    let text: Result<syn::LitStr, _> = syn::parse_str(&literal.to_string());
                    let Ok(ty) = text.and_then(|text| syn::parse_str::<syn::Type>(&text.value()))
                    else {
                        continue;
                    };
                    let mut inner = Self::default();
                    inner.visit_type(&ty);
                    for path in inner.paths {
                        self.add(literal.span(), path.segments);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

fn is_colon(trees: &[TokenTree], at: usize) -> bool {
    matches!(trees.get(at), Some(TokenTree::Punct(sign)) if sign.as_char() == ':')
}

fn line(span: Span) -> usize {
    span.start().line
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
