ALTER TABLE inventory_lines DROP COLUMN low_threshold;
DROP TABLE event_feed;
DROP TABLE events;
