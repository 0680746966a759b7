-- The former values are not recorded. Earlier releases read these rows without a change.
SELECT 1;
