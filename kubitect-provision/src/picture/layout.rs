//! Where the boxes of the picture lie: boxes in boxes, in rows that wrap, placed by a layout library.

use taffy::prelude::*;

/// A box of the picture with its words and the boxes in it.
pub(super) struct Block {
    /// What is drawn: its style.
    pub kind: &'static str,
    /// Lines at its top.
    pub lines: Vec<String>,
    /// What lies in it.
    pub inside: Vec<Block>,
    /// Whether what lies in it stands in rows, else in a column.
    pub in_rows: bool,
}

/// A box at its place.
pub(super) struct Placed<'a> {
    pub block: &'a Block,
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

/// Width of a letter: the text is set in one width, and stretched to it whatever the font.
pub(super) const LETTER: f32 = 7.25;
/// Height of a line.
pub(super) const LINE: f32 = 17.0;
/// Around the words of a box.
pub(super) const PAD: f32 = 12.0;
/// Between boxes.
pub(super) const GAP: f32 = 18.0;
/// The width that rows of hosts wrap at, if no box is wider.
const WIDTH: f32 = 1080.0;

/// The width of a text.
pub(super) fn width(line: &str) -> f32 {
    line.chars().count() as f32 * LETTER
}

/// Places a box and all in it, outer ones first; none if the library refuses, which it does for no tree.
pub(super) fn place(root: &Block) -> Option<Vec<Placed<'_>>> {
    let mut tree: TaffyTree<()> = TaffyTree::new();
    let room = WIDTH.max(widest(root) + 8.0 * PAD);
    let id = node(&mut tree, root, room)?;
    let space = Size {
        width: AvailableSpace::Definite(room),
        height: AvailableSpace::MaxContent,
    };
    tree.compute_layout(id, space).ok()?;
    let mut placed = Vec::new();
    collect(&tree, id, root, (0.0, 0.0), &mut placed)?;
    Some(placed)
}

/// The widest line of all boxes.
fn widest(block: &Block) -> f32 {
    let inside = block.inside.iter().map(widest);
    inside.fold(size(block).0, f32::max)
}

/// A box that is at most as wide as there is room.
fn node(tree: &mut TaffyTree<()>, block: &Block, room: f32) -> Option<NodeId> {
    let (wide, high) = size(block);
    let left = match frameless(block) {
        true => room,
        false => room - 2.0 * PAD,
    };
    let words = Style {
        size: Size {
            width: length(wide),
            height: length(high),
        },
        flex_shrink: 0.0,
        ..Style::default()
    };
    let mut children = vec![tree.new_leaf(words).ok()?];
    if !block.inside.is_empty() {
        let inner: Option<Vec<_>> = block
            .inside
            .iter()
            .map(|one| node(tree, one, left))
            .collect();
        let rows = Style {
            flex_direction: match block.in_rows {
                true => FlexDirection::Row,
                false => FlexDirection::Column,
            },
            flex_wrap: match block.in_rows {
                true => FlexWrap::Wrap,
                false => FlexWrap::NoWrap,
            },
            align_items: match block.in_rows {
                true => AlignItems::START,
                false => AlignItems::STRETCH,
            },
            gap: Size {
                width: length(GAP),
                height: length(if block.kind == "hosts" {
                    2.0 * GAP
                } else {
                    GAP
                }),
            },
            ..Style::default()
        };
        children.push(tree.new_with_children(rows, &inner?).ok()?);
    }
    let around = Style {
        flex_direction: FlexDirection::Column,
        padding: match frameless(block) {
            true => Rect::zero(),
            false => Rect::length(PAD),
        },
        gap: Size {
            width: length(0.0),
            height: length(if block.lines.is_empty() || block.inside.is_empty() {
                0.0
            } else {
                PAD
            }),
        },
        max_size: Size {
            width: length(room),
            height: auto(),
        },
        flex_shrink: 0.0,
        ..Style::default()
    };
    tree.new_with_children(around, &children).ok()
}

/// Whether a box only holds others together.
pub(super) fn frameless(block: &Block) -> bool {
    matches!(block.kind, "hosts" | "role")
}

fn size(block: &Block) -> (f32, f32) {
    let wide = block
        .lines
        .iter()
        .map(|line| width(line))
        .fold(0.0, f32::max);
    (wide, block.lines.len() as f32 * LINE)
}

fn collect<'a>(
    tree: &TaffyTree<()>,
    id: NodeId,
    block: &'a Block,
    (x, y): (f32, f32),
    placed: &mut Vec<Placed<'a>>,
) -> Option<()> {
    let own = tree.layout(id).ok()?;
    let (x, y) = (x + own.location.x, y + own.location.y);
    placed.push(Placed {
        block,
        x,
        y,
        width: own.size.width,
        height: own.size.height,
    });
    if let Some(rows) = tree.children(id).ok()?.get(1).copied() {
        let at = tree.layout(rows).ok()?.location;
        for (id, inner) in tree.children(rows).ok()?.into_iter().zip(&block.inside) {
            collect(tree, id, inner, (x + at.x, y + at.y), placed)?;
        }
    }
    Some(())
}
