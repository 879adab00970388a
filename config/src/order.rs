//! Depth-first order over items that name one another, and the loops among them.

use std::collections::HashMap;

use crate::{Place, Spanned};

/// A name, and where it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NameAt<'a> {
    pub name: &'a str,
    pub place: &'a Place,
}

impl<'a> From<&'a Spanned<String>> for NameAt<'a> {
    fn from(name: &'a Spanned<String>) -> Self {
        Self { name: &name.value, place: &name.place }
    }
}

/// Names that lead back to the first of them.
#[derive(Debug)]
pub(crate) struct Loop {
    /// `[a, b, a]`: a names b, b names a.
    pub names: Vec<String>,
    /// Where the last name, which closes the loop, was written.
    pub closed_at: Place,
}

/// What [`post_order`] found.
#[derive(Debug)]
pub(crate) struct Order {
    /// Indices of all items, each after those that it names (where no loop forbids it).
    pub nodes: Vec<usize>,
    pub loops: Vec<Loop>,
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    New,
    OnPath,
    Done,
}

/// Walks from each item to those that `edges` says it names. Names of nothing are passed over.
pub(crate) fn post_order<'a, T>(
    items: &'a [T],
    name_of: impl Fn(&'a T) -> &'a str,
    edges: impl Fn(&'a T) -> Vec<NameAt<'a>>,
) -> Order {
    let index: HashMap<&str, usize> = items.iter().enumerate().map(|(i, item)| (name_of(item), i)).collect();
    let mut marks = vec![Mark::New; items.len()];
    let mut order = Order { nodes: Vec::with_capacity(items.len()), loops: Vec::new() };
    for root in 0..items.len() {
        if marks[root] != Mark::New {
            continue;
        }
        marks[root] = Mark::OnPath;
        // An own stack: a file can chain more items than the thread's stack could take.
        let mut path = vec![(root, edges(&items[root]).into_iter())];
        while let Some((item, edges_left)) = path.last_mut() {
            let Some(edge) = edges_left.next() else {
                marks[*item] = Mark::Done;
                order.nodes.push(*item);
                path.pop();
                continue;
            };
            match index.get(edge.name).map(|&next| (next, marks[next])) {
                None | Some((_, Mark::Done)) => {}
                Some((next, Mark::New)) => {
                    marks[next] = Mark::OnPath;
                    path.push((next, edges(&items[next]).into_iter()));
                }
                Some((next, Mark::OnPath)) => {
                    let on_loop = path.iter().map(|(item, _)| *item).skip_while(|item| *item != next);
                    let names = on_loop.chain([next]).map(|item| name_of(&items[item]).to_owned()).collect();
                    order.loops.push(Loop { names, closed_at: edge.place.clone() });
                }
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Source;

    struct Item(&'static str, Vec<Spanned<String>>);

    fn item(name: &'static str, names: &[&str]) -> Item {
        let source = Source::new("f", "");
        Item(name, names.iter().map(|n| Spanned::new((*n).to_owned(), &source.place(1, 1, 1))).collect())
    }

    fn order_of(items: &[Item]) -> Order {
        post_order(items, |item| item.0, |item| item.1.iter().map(NameAt::from).collect())
    }

    #[test]
    fn named_ones_come_first() {
        let order = order_of(&[item("top", &["a", "b"]), item("a", &["b"]), item("b", &["nothing"])]);
        assert_eq!(order.nodes, [2, 1, 0]);
        assert!(order.loops.is_empty());
    }

    #[test]
    fn loops_are_told_once_each() {
        let order = order_of(&[item("a", &["b"]), item("b", &["c"]), item("c", &["b"]), item("me", &["me"])]);
        let names: Vec<_> = order.loops.iter().map(|found| found.names.join(" ")).collect();
        assert_eq!(names, ["b c b", "me me"]);
        assert_eq!(order.nodes.len(), 4);
    }

    #[test]
    fn a_long_chain_does_not_exhaust_the_stack() {
        let names: Vec<&'static str> =
            (0..100_000).map(|i| &*Box::leak(i.to_string().into_boxed_str())).collect();
        let items: Vec<_> =
            (0..names.len()).map(|i| item(names[i], &names[i + 1..names.len().min(i + 2)])).collect();
        assert_eq!(order_of(&items).nodes.len(), 100_000);
    }
}
