//! The layout of the diagram: nested boxes, in rows that wrap, placed by a layout library.

use taffy::prelude::*;

/// A box of the diagram, with its text and the boxes in it.
pub(super) struct Block {
    /// Its style.
    pub kind: &'static str,
    /// Lines at its top.
    pub lines: Vec<String>,
    /// The boxes in it.
    pub inside: Vec<Block>,
    /// Whether the boxes in it are in rows; else they are in a column.
    pub in_rows: bool,
}

/// A box with its position and size.
pub(super) struct Placed<'a> {
    pub block: &'a Block,
    pub x: f32,
    pub y: f32,
    pub width: f32,
    pub height: f32,
}

/// The width of a character: the text is monospaced, and stretched to this width whatever the font.
pub(super) const LETTER: f32 = 7.25;
/// The height of a line.
pub(super) const LINE: f32 = 17.0;
/// The padding around the text of a box.
pub(super) const PAD: f32 = 12.0;
/// The gap between boxes.
pub(super) const GAP: f32 = 18.0;
/// The width at which rows of hosts wrap, if no box is wider.
const WIDTH: f32 = 1080.0;

/// The width of a text.
pub(super) fn width(line: &str) -> f32 {
    line.chars().count() as f32 * LETTER
}

/// The positions of a box and of all boxes in it, outer ones first. None if the library fails, which it does not for a tree.
pub(super) fn place(root: &Block) -> Option<Vec<Placed<'_>>> {
    let mut tree: TaffyTree<()> = TaffyTree::new();
    let available = WIDTH.max(widest(root) + 8.0 * PAD);
    let id = node(&mut tree, root, available)?;
    let space = Size {
        width: AvailableSpace::Definite(available),
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

/// Adds a box, and all boxes in it, to the library's tree. It is at most `available` wide.
fn node(tree: &mut TaffyTree<()>, block: &Block, available: f32) -> Option<NodeId> {
    let (text_width, text_height) = size(block);
    let inner_width = match frameless(block) {
        true => available,
        false => available - 2.0 * PAD,
    };
    let text = Style {
        size: Size {
            width: length(text_width),
            height: length(text_height),
        },
        flex_shrink: 0.0,
        ..Style::default()
    };
    let mut children = vec![tree.new_leaf(text).ok()?];
    if !block.inside.is_empty() {
        let inner: Option<Vec<_>> = block
            .inside
            .iter()
            .map(|block| node(tree, block, inner_width))
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
            width: length(available),
            height: auto(),
        },
        flex_shrink: 0.0,
        ..Style::default()
    };
    tree.new_with_children(around, &children).ok()
}

/// Whether a box has no frame: it only groups others.
pub(super) fn frameless(block: &Block) -> bool {
    matches!(block.kind, "hosts" | "role")
}

fn size(block: &Block) -> (f32, f32) {
    let width = block
        .lines
        .iter()
        .map(|line| self::width(line))
        .fold(0.0, f32::max);
    (width, block.lines.len() as f32 * LINE)
}

fn collect<'a>(
    tree: &TaffyTree<()>,
    id: NodeId,
    block: &'a Block,
    (x, y): (f32, f32),
    placed: &mut Vec<Placed<'a>>,
) -> Option<()> {
    let layout = tree.layout(id).ok()?;
    let (x, y) = (x + layout.location.x, y + layout.location.y);
    placed.push(Placed {
        block,
        x,
        y,
        width: layout.size.width,
        height: layout.size.height,
    });
    if let Some(rows) = tree.children(id).ok()?.get(1).copied() {
        let offset = tree.layout(rows).ok()?.location;
        for (id, inner) in tree.children(rows).ok()?.into_iter().zip(&block.inside) {
            collect(tree, id, inner, (x + offset.x, y + offset.y), placed)?;
        }
    }
    Some(())
}
