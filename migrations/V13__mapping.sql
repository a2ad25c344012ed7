-- What the derived tables mean rests on the mapping that they were folded by: with another one they would be of two minds.
alter table sink_identity add column mapping text;
comment on column sink_identity.mapping is 'The columns and statuses of [retail] that the derived tables are folded by, a line each; null before the first fold.';
