-- When what a code answers had happened: the one number that a nightly batch cannot have.
alter table promotion add column caused_at timestamptz;
comment on column promotion.caused_at is 'Commit time of the change that made the tuple eligible at once before the code was issued, or when the event occurred that made it due; null if time or a rule did, or an earlier change.';
