-- A capture with a GPU, as an nsys of 2024 or later exports it to SQLite, written by hand: times are round so that
-- tests can say each number. Tables and columns as in the schema reference of NVIDIA's user guide
-- (docs.nvidia.com/nsight-systems/UserGuide/index.html#exporter-sqlite-schema); columns that hold nothing we look at
-- are cut down to those an nsys of 2022 lacks (greenContextId, binaryData).
CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
INSERT INTO StringIds VALUES
 (1, 'engine.step'), (2, 'model.execute.prefill'), (3, 'model.execute.decode'), (4, 'model.forward'),
 (5, 'scheduler.schedule'), (6, 'vllm_lab'), (7, 'model.execute.empty'), (8, 'model.logits'), (9, 'sampler.sample'),
 (10, 'scheduler.update'),
 (20, 'device_kernel'), (21, 'void cutlass::device_kernel<flash::enable_sm90<flash::FlashAttnFwdSm90<Mainloop>>>(Params)'),
 (22, 'nvjet_tst_64x8_64x16_4x1_v_bz_TNT'), (23, 'rms_norm_kernel'),
 (24, 'void vllm::rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*)'),
 (30, 'cudaLaunchKernel_v7000'), (31, 'cudaGraphLaunch_v10000'), (32, 'cudaMemcpyAsync_v3020'),
 (40, 'pthread_mutex_lock'), (41, 'poll');

CREATE TABLE NVTX_EVENTS (start INTEGER NOT NULL, end INTEGER, eventType INTEGER NOT NULL, rangeId INTEGER,
 category INTEGER, color INTEGER, text TEXT, globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER,
 domainId INTEGER, jsonTextId INTEGER, jsonText TEXT, binaryData TEXT);
-- The domain; a prefill step, two decode steps, and a step that scheduled nothing. 16777217 is process 1, thread 1.
INSERT INTO NVTX_EVENTS (start, end, eventType, text, globalTid, textId, domainId) VALUES
 (0, NULL, 75, NULL, 16777217, 6, 1),
 (1000000, 2000000, 59, NULL, 16777217, 1, 1),
 (1000000, 1010000, 59, NULL, 16777217, 5, 1),
 (1010000, 1900000, 59, NULL, 16777217, 2, 1),
 (1020000, 1800000, 59, NULL, 16777217, 4, 1),
 (3000000, 4000000, 59, NULL, 16777217, 1, 1),
 (3000000, 3020000, 59, NULL, 16777217, 5, 1),
 (3020000, 3900000, 59, NULL, 16777217, 3, 1),
 (3100000, 3700000, 59, NULL, 16777217, 4, 1),
 (3700000, 3800000, 59, NULL, 16777217, 8, 1),
 (3900000, 3950000, 59, NULL, 16777217, 9, 1),
 (3950000, 3980000, 59, NULL, 16777217, 10, 1),
 (5000000, 6000000, 59, NULL, 16777217, 1, 1),
 (5000000, 5020000, 59, NULL, 16777217, 5, 1),
 (5020000, 5900000, 59, NULL, 16777217, 3, 1),
 (5100000, 5500000, 59, NULL, 16777217, 4, 1),
 (5500000, 5600000, 59, NULL, 16777217, 8, 1),
 (5900000, 5950000, 59, NULL, 16777217, 9, 1),
 (5950000, 5970000, 59, NULL, 16777217, 10, 1),
 (7000000, 7010000, 59, NULL, 16777217, 1, 1),
 (7000000, 7001000, 59, NULL, 16777217, 7, 1),
 (5100000, 5500000, 59, '{''Module'': ''Llama.model.layers.3.mlp'', ''Inputs'': [[8, 64]]}', 16777217, NULL, 0),
 (5500000, 5590000, 59, '{''Module'': ''Llama.model.layers.4.mlp'', ''Inputs'': [[8, 64]]}', 16777217, NULL, 0);

CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,
 contextId INTEGER NOT NULL, greenContextId INTEGER, streamId INTEGER NOT NULL, correlationId INTEGER,
 globalPid INTEGER, demangledName INTEGER NOT NULL, shortName INTEGER NOT NULL, mangledName INTEGER,
 graphNodeId INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL (start, end, deviceId, contextId, streamId, demangledName, shortName) VALUES
 (1100000, 1600000, 0, 1, 7, 22, 22),
 (3100000, 3200000, 0, 1, 7, 21, 20),
 (3250000, 3550000, 0, 1, 7, 22, 22),
 (3500000, 3600000, 0, 1, 8, 24, 23),
 (5100000, 5200000, 0, 1, 7, 21, 20),
 (5400000, 5700000, 0, 1, 7, 22, 22);

CREATE TABLE ENUM_CUDA_MEMCPY_OPER (id INTEGER NOT NULL PRIMARY KEY, name TEXT, label TEXT);
INSERT INTO ENUM_CUDA_MEMCPY_OPER VALUES
 (1, 'CUDA_MEMCPY_KIND_HTOD', 'Host-to-Device'), (2, 'CUDA_MEMCPY_KIND_DTOH', 'Device-to-Host');
CREATE TABLE CUPTI_ACTIVITY_KIND_MEMCPY (start INTEGER NOT NULL, end INTEGER NOT NULL, deviceId INTEGER NOT NULL,
 streamId INTEGER NOT NULL, bytes INTEGER NOT NULL, copyKind INTEGER NOT NULL, graphNodeId INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_MEMCPY (start, end, deviceId, streamId, bytes, copyKind) VALUES
 (5000000, 5010000, 0, 7, 40000, 1), (5800000, 5810000, 0, 7, 20000, 2);

CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL,
 globalTid INTEGER, correlationId INTEGER, nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL);
INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME (start, end, eventClass, globalTid, nameId, returnValue) VALUES
 (1020000, 1026000, 0, 16777217, 30, 0), (3090000, 3094000, 0, 16777217, 30, 0),
 (5090000, 5110000, 0, 16777217, 31, 0), (5000000, 5002000, 0, 16777217, 32, 0);

CREATE TABLE OSRT_API (start INTEGER NOT NULL, end INTEGER NOT NULL, eventClass INTEGER NOT NULL, globalTid INTEGER,
 nameId INTEGER NOT NULL, returnValue INTEGER NOT NULL, nestingLevel INTEGER, callchainId INTEGER NOT NULL);
INSERT INTO OSRT_API (start, end, eventClass, globalTid, nameId, returnValue, nestingLevel, callchainId) VALUES
 (3010000, 3040000, 27, 16777217, 40, 0, 0, 1),
 (3015000, 3020000, 27, 16777217, 40, 0, 1, 1),
 (3000000, 9000000, 27, 16777218, 41, 0, 0, 1),
 (6500000, 6600000, 27, 16777217, 41, 0, 0, 1);
